"""Several reports side by side: one row per measure, one column per report."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from accelerator_sim.report import Report, TierRow
from accelerator_sim.units import (
    bytes_text,
    joules_text,
    number_text,
    percent_text,
    plain,
    ratio_text,
    seconds_text,
    watts_text,
)

NOTHING = "-"
"""Where a report does not have what the row asks for."""


@dataclass(frozen=True, slots=True)
class ComparisonRow:
    """One measure.

    Attributes:
        label: of the measure.
        cells: a text per report.
    """

    label: str
    cells: tuple[str, ...]


def letters(position: int) -> str:
    """`A`, `B`, ..., `Z`, `AA`, ...: what the column of a report is called."""
    text = ""
    position += 1
    while position > 0:
        position, digit = divmod(position - 1, 26)
        text = chr(ord("A") + digit) + text
    return text


def title(report: Report, name: str) -> str:
    """What a column stands for: `model.onnx, placed by native on nnp-i (fp16)`."""
    return (
        f"{plain(name, 40)}, placed by {plain(report.placer, 16)} on {plain(report.target, 24)} "
        f"({plain(report.execution_type, 8)})"
    )


def compare(reports: Sequence[Report]) -> list[ComparisonRow]:
    """All rows; changes are relative to the first report.

    Args:
        reports: at least one.
    """
    return [
        ComparisonRow(label, tuple(cell(report) for report in reports))
        for label, cell in (*_headline_rows(reports[0]), *_tier_rows(reports))
    ]


def power_w(report: Report) -> float | None:
    """Mean power of the chip, one inference after the other in every group; None in no time."""
    return report.energy_j * report.groups / report.latency_s if report.latency_s > 0 else None


_Row = tuple[str, Callable[[Report], str]]


def _headline_rows(first: Report) -> Iterator[_Row]:
    def against(report: Report) -> str:
        if first.latency_s <= 0:
            return NOTHING
        return f"{100 * (report.latency_s / first.latency_s - 1):+.1f} %"

    yield "latency", lambda report: seconds_text(report.latency_s)
    yield "against A", against
    yield "inferences/s", lambda report: number_text(report.throughput_per_s)
    yield "first inference", lambda report: seconds_text(report.cold_latency_s)
    yield "proven bound", lambda report: _optional(report.lower_bound_s, seconds_text)
    yield "proven gap", lambda report: _optional(report.gap, percent_text)
    yield "over best ref.", lambda r: _optional(r.speedup_over_best_reference, ratio_text)
    yield "over native", lambda report: _optional(report.speedup_over_native, ratio_text)
    yield "energy", lambda report: joules_text(report.energy_j)
    yield "power", lambda report: _optional(power_w(report), watts_text)


def _tier_rows(reports: Sequence[Report]) -> Iterator[_Row]:
    """Peak and busy share of every memory that any of the reports has, in order of appearance."""
    names = dict.fromkeys(tier.name for report in reports for tier in report.tiers)

    def cell(name: str, show: Callable[[TierRow], str]) -> Callable[[Report], str]:
        def shown(report: Report) -> str:
            found = [tier for tier in report.tiers if tier.name == name]
            return show(found[0]) if found else NOTHING

        return shown

    for name in names:
        short = plain(name, 12)
        yield f"{short} peak", cell(name, lambda tier: bytes_text(tier.peak_bytes))
        yield (
            f"{short} full",
            cell(name, lambda tier: percent_text(tier.peak_bytes / tier.capacity_bytes)),
        )
        yield f"{short} busy", cell(name, lambda tier: percent_text(tier.busy_fraction))


def _optional(value: float | None, show: Callable[[float], str]) -> str:
    return NOTHING if value is None else show(value)
