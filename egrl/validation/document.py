"""Writes `docs/validation.md` and its plots."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from egrl.bench.machine import machine_line
from egrl.validation.plots import plot_name, plot_pattern, write_plot
from egrl.validation.result import Check, Series, ToolResult
from egrl.validation.statistics import summarize

PLOTS = "validation"
"""Folder of the plots, beside the document."""

INTRODUCTION = """\
# Validation

Written by `scripts/validate_simulator`, which anybody can run again; `--rows FOLDER` takes other
rows of the same tools. Every row of a reference becomes an ONNX graph of one op (or the network
that it is), which is lowered and evaluated by the engine on an accelerator file of the machine that
the row was made for (`egrl/validation/accelerators/`, `accelerator_sim/targets/`). The comparison
holds no formula of the tools, and nothing was fitted to the rows: where a number differs from the
reference, the section says why."""


@dataclass(frozen=True, slots=True)
class Compared:
    """One tool's comparison, and how long it took.

    Attributes:
        key: of the tool.
        result: None where its rows are not in the folder.
        missing: names of the files that are not there.
        seconds: of lowering, pricing and evaluating all rows.
    """

    key: str
    result: ToolResult | None
    missing: tuple[str, ...]
    seconds: float


def write_document(compared: Mapping[str, Compared], path: Path) -> None:
    """Write the document, and a plot for each series into the folder `validation` beside it.

    Args:
        compared: by tool, in document order.
        path: of the Markdown file.
    """
    plots = path.parent / PLOTS
    plots.mkdir(parents=True, exist_ok=True)
    sections = [INTRODUCTION, f"Machine of the timings: {machine_line()}.", _overview(compared)]
    for item in compared.values():
        if item.result is None:
            continue
        for former in plots.glob(plot_pattern(item.key)):
            former.unlink()
        for series in _drawable(item.result):
            write_plot(series, plots / plot_name(item.key, series))
        sections.append(_section(item.key, item.result, item.seconds))
    path.write_text("\n\n".join(sections) + "\n", "utf-8")


def summary_lines(compared: Mapping[str, Compared]) -> list[str]:
    """What was found, for a terminal: a line per check, and one that counts them."""
    lines = []
    for item in compared.values():
        if item.result is None:
            lines.append(f"{item.key}: skipped, no {', '.join(item.missing)}")
            continue
        for check in item.result.checks:
            state = "met" if check.met else "short"
            lines.append(f"{item.key}: {state}: {check.text}: {check.measured} ({check.goal})")
        lines.append(f"{item.key}: {item.seconds:.1f} s")
    checks = _checks(compared)
    lines.append(f"{sum(check.met for check in checks)} of {len(checks)} checks met")
    return lines


def _checks(compared: Mapping[str, Compared]) -> list[Check]:
    return [check for item in compared.values() if item.result for check in item.result.checks]


def _overview(compared: Mapping[str, Compared]) -> str:
    lines = ["| tool | checks met | rows | s | ms a row |", "|---|---|---|---|---|"]
    for item in compared.values():
        if item.result is None:
            lines.append(f"| {item.key} | skipped: no {', '.join(item.missing)} | | | |")
            continue
        checks = item.result.checks
        rows = sum(len(series.points) for series in item.result.series)
        each = f"{1e3 * item.seconds / rows:.3g}" if rows else ""
        lines.append(
            f"| [{item.result.tool}](#{item.key}) | {sum(c.met for c in checks)} of {len(checks)} "
            f"| {f'{rows:,}' if rows else ''} | {item.seconds:.1f} | {each} |"
        )
    return "\n".join(lines)


def _section(key: str, result: ToolResult, seconds: float) -> str:
    parts = [f'<a id="{key}"></a>\n\n## {result.tool}', result.about]
    if result.checks:
        lines = ["| check | goal | measured | |", "|---|---|---|---|"]
        lines += [
            f"| {check.text} | {check.goal} | {check.measured} | {_state(check)} |"
            for check in result.checks
        ]
        parts.append("\n".join(lines))
    if any(series.points for series in result.series):
        parts.append(_statistics(result))
    pictures = [
        f"![{series.title}]({PLOTS}/{plot_name(key, series)})" for series in _drawable(result)
    ]
    if pictures:
        parts.append("\n".join(pictures))
    if result.notes:
        parts.append("\n".join(f"- {note}" for note in result.notes))
    parts.append(f"{seconds:.1f} s for this tool.")
    return "\n\n".join(parts)


def _statistics(result: ToolResult) -> str:
    lines = [
        "| rows | number | mean error | median | worst | of | rank correlation |",
        "|---|---|---|---|---|---|---|",
    ]
    for series in result.series:
        summary = summarize(series.points)
        if summary is None:
            continue
        rank = summary.rank_correlation
        lines.append(
            f"| {series.title} | {summary.count:,} | {percent(summary.mean_error)} "
            f"| {percent(summary.median_error)} | {percent(summary.worst_error)} "
            f"| {_cell(summary.worst_name)} | {'' if rank is None else f'{rank:.4f}'} |"
        )
    return "\n".join(lines)


def percent(fraction: float) -> str:
    """A relative error for people; exactly 0 where it is."""
    return "0" if fraction == 0 else f"{100 * fraction:.2f} %"


def _drawable(result: ToolResult) -> list[Series]:
    """Series with something to draw on logarithmic axes."""
    return [
        series
        for series in result.series
        if any(point.reference > 0 and point.predicted > 0 for point in series.points)
    ]


def _cell(text: str) -> str:
    """Text from a file inside a table."""
    clean = "".join(c if c.isprintable() and c not in "|`<>[]" else " " for c in text)
    return clean[:80]


def _state(check: Check) -> str:
    return "met" if check.met else "**short**"
