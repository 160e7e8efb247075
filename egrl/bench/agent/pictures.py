"""The pictures of the document, as SVG that is always the same bytes."""

from collections.abc import Callable, Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from egrl.bench.agent.clocked_table import TIME_NAMES, open_names, open_times
from egrl.bench.agent.equal_time import TIMES_S
from egrl.bench.agent.methods import METHODS, OURS, PAPER, of_part
from egrl.bench.agent.protocol import EVALUATIONS
from egrl.bench.agent.protocol_table import NAMES as PROTOCOL_NAMES
from egrl.bench.agent.rows import Reference, Rows, Run
from egrl.bench.agent.scores import Scores, scores_of, whole
from egrl.bench.agent.statistics import Interval, interval, mean, value_at
from egrl.bench.agent.text import slug
from egrl.bench.agent.unknown_table import GROUPS, names_of

GRID = 48
"""Points of a curve."""

COLOURS = 10
"""Of the colour map."""

DASHES = ("-", "--", "-.", ":")
"""A row of colours each."""

Line = tuple[str, list[float], list[Interval]]


def draw(rows: Rows, folder: Path) -> set[str]:
    """Draw all that there are rows for; pictures of an earlier run that are not go away.

    Returns:
        The names of the files.
    """
    figures: dict[str, Figure] = {}
    settings = mpl.rc_context(
        {
            "svg.hashsalt": "egrl",
            "svg.fonttype": "none",
            "font.size": 8.0,
            "axes.grid": True,
            "grid.alpha": 0.3,
        }
    )
    protocol = scores_of(rows, "protocol")
    with settings:
        for name in PROTOCOL_NAMES:
            reference = rows.references.get(name)
            if reference is not None:
                _protocol(protocol, reference, figures)
        times = {
            "time": (TIME_NAMES, TIMES_S[-1]),
            "open": (open_names(rows), open_times(rows)[-1]),
        }
        for part, (names, last_s) in times.items():
            lines = _pooled(rows, part, names, np.geomspace(0.01, last_s, GRID).tolist(), last_s)
            if lines:
                figures[f"{part}.svg"] = _figure([("", lines)], "seconds", _gap_axes)
        grid = np.unique(np.geomspace(1, 4000, GRID).astype(np.int64)).astype(float).tolist()
        panels = [
            (f"by {group}", _pooled(rows, "unknown", names_of(truths), grid, 100.0))
            for group, truths in GROUPS.items()
        ]
        if any(lines for _, lines in panels):
            figures["unknown.svg"] = _figure(panels, "measurements", _gap_axes)
        folder.mkdir(parents=True, exist_ok=True)
        for path in folder.glob("*.svg"):
            if path.name not in figures:
                path.unlink()
        for name, figure in figures.items():
            figure.savefig(folder / name, format="svg", metadata={"Date": None, "Creator": None})
    return set(figures)


def _protocol(scores: Scores, reference: Reference, figures: dict[str, Figure]) -> None:
    """Learning curves and transition matrices of one problem."""
    methods = of_part("protocol", [])
    learners = [m for m in methods if m.startswith(PAPER) or m in ("random", "greedy-dp")]
    panels = [
        ("the published agent", _speedups(scores, reference, [*learners, OURS])),
        ("all others", _speedups(scores, reference, [m for m in methods if m not in learners])),
    ]
    panels = [panel for panel in panels if panel[1]]
    if panels:
        name = f"curves-{slug(reference.case)}.svg"
        ceiling = reference.native_s / reference.bound_s
        figures[name] = _figure(panels, "evaluations", lambda axes: _speedup_axes(axes, ceiling))
    best = [(m, _best_run(scores, reference, m)) for m in (PAPER, OURS)]
    moved = [(m, run) for m, run in best if run is not None and run.moved_bytes]
    if moved:
        figures[f"moves-{slug(reference.case)}.svg"] = _matrices(moved, reference.tiers)


def _best_run(scores: Scores, reference: Reference, method: str) -> Run | None:
    runs = [run for run in scores.runs_of(reference.case, method) if run.latency_s]
    return min(runs, key=lambda run: (run.latency_s or np.inf, run.seed), default=None)


def _speedups(scores: Scores, reference: Reference, methods: Sequence[str]) -> list[Line]:
    """Mean speed-up over evaluations; before the first incumbent a run counts as 0."""
    grid = np.unique(np.geomspace(1, EVALUATIONS, GRID).astype(np.int64)).astype(float).tolist()
    lines = []
    for method in methods:
        runs = [r for r in scores.runs_of(reference.case, method) if whole(r, EVALUATIONS)]
        runs = [r for r in runs if r.curve]
        if runs:
            bands = [
                interval(
                    [[reference.native_s / value_at(run.curve, at) for run in runs]], mean, 500
                )
                for at in grid
            ]
            lines.append((method, grid, bands))
    return lines


def _pooled(
    rows: Rows, part: str, names: Sequence[str], grid: list[float], least: float
) -> list[Line]:
    """Interquartile mean of the gap over time or measurements, in percent."""
    scores = scores_of(rows, part)
    lines = []
    for method in METHODS:
        with_runs = scores.common(names, [method], least)
        if not with_runs:
            continue
        bands = [
            interval(
                [[100.0 * v for v in scores.of(name, method, at)] for name in with_runs],
                resamples=500,
            )
            for at in grid
            if at <= least or all(scores.of(name, method, at) for name in with_runs)
        ]
        lines.append((method, grid[: len(bands)], bands))
    return lines


def _figure(
    panels: Sequence[tuple[str, list[Line]]], unit: str, prepare: Callable[[Axes], None]
) -> Figure:
    figure = Figure(figsize=(6.4 * len(panels), 3.8), layout="constrained", facecolor="white")
    for position, (title, lines) in enumerate(panels):
        axes = figure.add_subplot(1, len(panels), position + 1)
        for method, grid, bands in lines:
            mid = np.array([band.mid for band in bands])
            low = np.array([band.low for band in bands])
            high = np.array([band.high for band in bands])
            seen = np.isfinite(mid) & np.isfinite(low) & np.isfinite(high)
            at = np.array(grid)[seen]
            colour, width, dash = _style(method)
            axes.plot(at, mid[seen], color=colour, linewidth=width, linestyle=dash, label=method)
            axes.fill_between(at, low[seen], high[seen], color=colour, alpha=0.2, linewidth=0)
        axes.set(xscale="log", xlabel=unit, title=title)
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_formatter("")
        prepare(axes)
        axes.legend(fontsize=6.0, loc="center left", bbox_to_anchor=(1.01, 0.5))
    return figure


def _style(method: str) -> tuple[object, float, str]:
    """Colour, width and dashes, which no two methods share: ours is thick and black."""
    if method == OURS:
        return "black", 2.0, "-"
    turn, colour = divmod(list(METHODS).index(method), COLOURS)
    return mpl.colormaps["tab10"](colour), 1.2, DASHES[turn]


def _speedup_axes(axes: Axes, ceiling: float) -> None:
    axes.axhline(ceiling, color="0.3", linewidth=0.8, linestyle="--")
    axes.axhline(1.0, color="0.3", linewidth=0.8, linestyle=":")
    axes.set(ylabel="speed-up over native (dashed: bound)", ylim=(0.0, None))


def _gap_axes(axes: Axes) -> None:
    axes.set_yscale("symlog", linthresh=1e-2)
    axes.set_ylim(bottom=0.0)
    axes.yaxis.set_major_formatter("{x:g} %")
    axes.set(ylabel="above best known")


def _matrices(moved: Sequence[tuple[str, Run]], tiers: Sequence[str]) -> Figure:
    """Heat maps: rows of `native`'s tiers, columns of the map's, by bytes and by tensors."""
    figure = Figure(figsize=(5.6, 2.7 * len(moved)), layout="constrained", facecolor="white")
    for row, (method, run) in enumerate(moved):
        for column, (unit, matrix) in enumerate(
            (("bytes", run.moved_bytes), ("tensors", run.moved_tensors))
        ):
            axes = figure.add_subplot(len(moved), 2, 2 * row + column + 1)
            share = np.array(matrix, np.float64) / max(1, np.sum(matrix))
            axes.imshow(share, cmap="Blues", vmin=0.0, vmax=1.0)
            for i in range(len(tiers)):
                for k in range(len(tiers)):
                    dark = share[i, k] > 0.5
                    axes.text(
                        k, i, f"{100 * share[i, k]:.0f} %", ha="center", va="center",
                        color="white" if dark else "black",
                    )  # fmt: skip
            axes.set_xticks(range(len(tiers)), tiers)
            axes.set_yticks(range(len(tiers)), tiers)
            axes.grid(visible=False)
            axes.set(title=f"{method}, {unit}", xlabel="its best map", ylabel="native")
    return figure
