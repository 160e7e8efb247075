"""A sweep as a table with bars: plain ASCII, at most 100 columns."""

from collections.abc import Iterator

from accelerator_sim.units import percent_text, plain, seconds_text
from egrl.sweep.result import PointResult, Sweep

WIDTH = 100
_BAR = 24


def sweep_text(sweep: Sweep) -> str:
    """Lines separated by newlines, without one at the end."""
    return "\n".join(line.rstrip() for line in _lines(sweep))


def _lines(sweep: Sweep) -> Iterator[str]:
    yield (
        f"{plain(sweep.model, 40)} on {plain(sweep.target, 24)}, "
        f"{plain(sweep.execution_type, 8)}, placed by {plain(sweep.placer, 16)} "
        f"({plain(sweep.budget, 16)} a point)"
    )
    yield f"  over {' and '.join(plain(axis.name, 40) for axis in sweep.axes)}"
    if len(sweep.points) < sweep.point_count:
        yield f"  {len(sweep.points)} of {sweep.point_count} points were finished"
    yield ""
    width = 22 if len(sweep.axes) == 1 else 12
    head = "".join(
        f"{plain(axis.name.rpartition('.')[2], width - 1):<{width}}" for axis in sweep.axes
    )
    cells = "".join(f"{name:>11}" for name in ("latency", "gap", "best ref.", "native"))
    yield f"  {head}{cells}"
    largest_s = max((point.result.latency_s or 0.0 for point in sweep.points), default=0.0)
    for point in sweep.points:
        labels = "".join(f"{plain(label, width - 1):<{width}}" for label in sweep.labels(point))
        if point.result.latency_s is None:
            yield f"  {labels}{plain(point.result.failure)}"[:WIDTH]
            continue
        length = round(_BAR * point.result.latency_s / largest_s) if largest_s > 0 else 0
        yield f"  {labels}{_numbers(point.result)}  {'#' * max(1, length)}"


def _numbers(result: PointResult) -> str:
    return "".join(
        f"{cell:>11}"
        for cell in (
            _seconds(result.latency_s),
            "-" if result.gap is None else percent_text(result.gap),
            _seconds(result.best_reference_s),
            _seconds(result.native_s),
        )
    )


def _seconds(value: float | None) -> str:
    return "-" if value is None else seconds_text(value)
