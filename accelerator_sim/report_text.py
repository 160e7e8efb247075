"""The report as a person reads it in ten seconds: plain ASCII, at most 100 columns."""

from collections.abc import Iterator, Sequence
from textwrap import wrap
from typing import TYPE_CHECKING

from accelerator_sim.build_report import IDEAL, MATTERS_ABOVE, STATED_REFERENCES
from accelerator_sim.cache_text import (
    cache_summary,
    context_cells,
    shared_homes_text,
    tier_cells,
)
from accelerator_sim.comparison import compare, letters, power_w, title
from accelerator_sim.report import OpRow, Report, TierRow
from accelerator_sim.time_shares import time_shares
from accelerator_sim.units import (
    bytes_text,
    joules_text,
    number_text,
    percent_text,
    plain,
    seconds_text,
    watts_text,
)

if TYPE_CHECKING:
    from accelerator_sim.report_case import Advice

WIDTH = 100
SLOWEST_OPS = 5
_BAR = 30
# Less would be printed as 0.0 %.
_SMALLEST_SHARE = 0.0005
_LABEL = 14
_COLUMNS = 6
_COLUMN = 12


def report_text(report: Report, approximate: Sequence[str] = ()) -> str:
    """The summary, lines separated by newlines, without one at the end.

    Args:
        report: of one plan.
        approximate: what the accelerator's file leaves out or guesses.
    """
    lines = [
        *_headline(report),
        *_caveat(report, approximate),
        "",
        *_time(report),
        "",
        *_slowest(report),
        "",
        *_tiers(report.tiers),
        *_caches(report),
        "",
        *_references(report),
    ]
    return "\n".join(line.rstrip() for line in lines)


def advice_text(advice: "Sequence[Advice]", report: Report) -> str:
    """What would make the plan of a report faster, lines likewise.

    Args:
        advice: most worthwhile first.
        report: of the plan.
    """
    lines = ["What would help (placed and simulated again)"]
    if not report.placement_matters:
        lines.append("  placement does not matter here: another one cannot bring more than 2 %")
    if not advice:
        lines.append("  nothing that was tried makes it faster by 0.5 % or more")
        shares = time_shares(report.ops, [tier.name for tier in report.tiers])
        if shares:
            most = max(shares, key=lambda share: share.seconds)
            lines.append(f"  most of its time goes to: {plain(most.name, 40)}")
    for entry in advice:
        change = f"{100 * entry.change:+.1f} %"
        head = f"  {change:>9}  {seconds_text(entry.latency_s):>10}  "
        lines += wrap(
            plain(entry.text), WIDTH, initial_indent=head, subsequent_indent=" " * len(head)
        )
    return "\n".join(line.rstrip() for line in lines)


def comparison_text(reports: Sequence[Report], names: Sequence[str]) -> str:
    """Several reports side by side, lines likewise.

    Args:
        reports: at least one.
        names: of their sources.
    """
    lines = ["Side by side"]
    for position, (report, name) in enumerate(zip(reports, names, strict=True)):
        lines.append(f"  {letters(position):<3} {title(report, name)}"[:WIDTH])
    rows = compare(reports)
    for first in range(0, len(reports), _COLUMNS):
        columns = range(first, min(first + _COLUMNS, len(reports)))
        lines += ["", " " * 22 + "".join(f"{letters(column):>{_COLUMN}}" for column in columns)]
        for row in rows:
            cells = "".join(f"{row.cells[column]:>{_COLUMN}}" for column in columns)
            lines.append(f"  {row.label:<20}{cells}")
    return "\n".join(line.rstrip() for line in lines)


def _caveat(report: Report, approximate: Sequence[str]) -> Iterator[str]:
    if not approximate:
        return
    first = plain(approximate[0])
    room = WIDTH - _LABEL - 2
    words = f"the model of {plain(report.target, 24)} is approximate: {first}"
    if len(approximate) > 1:
        words += f"; {len(approximate) - 1} more"
    yield _line("caveat", words if len(words) <= room else words[: room - 2] + "..")


def _headline(report: Report) -> Iterator[str]:
    yield (
        f"{plain(report.model, 40)} on {plain(report.target, 24)}, {report.execution_type}, "
        f"placed by {plain(report.placer, 16)}"
    )
    yield _line(
        "latency",
        f"{seconds_text(report.latency_s)}    first inference {seconds_text(report.cold_latency_s)}"
        f"    energy {joules_text(report.energy_j)}{_power(report)}",
    )
    if report.groups > 1:
        each = f"{report.groups} inferences at a time"
        yield _line("throughput", f"{number_text(report.throughput_per_s)}/s, {each}")
    yield _line("speed-up", _speedup(report))
    yield _line("proven gap", _gap(report))
    if report.best_known_s < report.latency_s * (1 - 1e-9):
        behind = report.latency_s / report.best_known_s - 1
        yield _line(
            "best known",
            f"{seconds_text(report.best_known_s)}; this plan is {percent_text(behind)} slower",
        )
    if report.alone_s is not None:
        yield _line("shared homes", shared_homes_text(report.latency_s, report.alone_s))
    if report.placement_matters:
        yield _line("gap closed", _gap_closed(report))
    else:
        yield _line(
            "note",
            f"placement does not matter here: {report.best_reference} is within "
            f"{100 * MATTERS_ABOVE:.0f} % of {_floor_name(report)}",
        )


def _power(report: Report) -> str:
    watts = power_w(report)
    return "" if watts is None else f" ({watts_text(watts)})"


def _line(label: str, text: str) -> str:
    return f"  {label:<{_LABEL}}{text}"


def _speedup(report: Report) -> str:
    parts = []
    if report.speedup_over_best_reference is not None:
        parts.append(
            f"{report.speedup_over_best_reference:.2f}x over {report.best_reference}, "
            "the best reference"
        )
    if report.speedup_over_native is None:
        parts.append("native found nothing feasible")
    elif report.best_reference != "native":
        parts.append(f"{report.speedup_over_native:.2f}x over native")
    return "; ".join(parts)


def _gap(report: Report) -> str:
    if report.lower_bound_s is None:
        return "no bound proven"
    bound = f"bound of {seconds_text(report.lower_bound_s)}"
    if report.gap is None:
        return bound
    if report.gap < _SMALLEST_SHARE:
        return f"less than 0.1 % above the best possible ({bound})"
    return f"at most {percent_text(report.gap)} above the best possible ({bound})"


def _floor_name(report: Report) -> str:
    return "the ideal memory" if report.lower_bound_s is None else "the proven bound"


def _gap_closed(report: Report) -> str:
    if report.gap_closed is None:
        return "unknown: no reference placement is feasible"
    between = f"between {report.best_reference} and {_floor_name(report)}"
    return f"{percent_text(report.gap_closed)} of what can be closed {between}"


def _time(report: Report) -> Iterator[str]:
    yield "Where the time goes"
    total = sum(op.duration_s for op in report.ops)
    for share in time_shares(report.ops, [tier.name for tier in report.tiers]):
        part = share.seconds / total if total > 0 else 0.0
        if part < _SMALLEST_SHARE:
            continue
        bar = "#" * min(_BAR, round(part * _BAR))
        name = plain(share.name, 22)
        yield f"  {name:<22}{percent_text(part):>8}  {seconds_text(share.seconds):>10}  {bar}"


def _slowest(report: Report) -> Iterator[str]:
    count = len(report.ops)
    yield f"Slowest of {count} op{'' if count == 1 else 's'}"
    total = sum(op.duration_s for op in report.ops)
    rows = sorted(report.ops, key=lambda op: (-op.duration_s, op.index))[:SLOWEST_OPS]
    for op in rows:
        part = op.duration_s / total if total > 0 else 0.0
        yield (
            f"  {plain(op.name, 34):<34} {seconds_text(op.duration_s):>10} {percent_text(part):>7}"
            f"  {_limit(op)}"
        )


def _limit(op: OpRow) -> str:
    text = f"by {plain(op.bound, 12)}"
    if op.stall_s > 0 and op.stall_tensor:
        text += f", waits for {plain(op.stall_tensor, 20)}"
    return text


def _tiers(tiers: Sequence[TierRow]) -> Iterator[str]:
    header = ("capacity", "peak", "full", "weights", "act. peak", "ring", "busy")
    yield f"{'What each tier holds':<22}" + "".join(f" {cell:>10}" for cell in header)
    for tier in tiers:
        # What is live at the peak beside weights and activations is the staging ring.
        ring = tier.peak_bytes - tier.resident_weight_bytes - tier.peak_activation_bytes
        cells = (
            bytes_text(tier.capacity_bytes),
            bytes_text(tier.peak_bytes),
            percent_text(tier.peak_bytes / tier.capacity_bytes),
            bytes_text(tier.resident_weight_bytes),
            bytes_text(tier.peak_activation_bytes),
            bytes_text(ring) if ring > 0 else "-",
            percent_text(tier.busy_fraction),
        )
        yield f"  {plain(tier.name, 19):<20}" + "".join(f" {cell:>10}" for cell in cells)


def _caches(report: Report) -> Iterator[str]:
    caches = report.caches
    if caches is None:
        return
    yield ""
    yield f"Caches: {cache_summary(caches)}"
    yield f"  {'positions held':<20}{'a token':>12}{'tokens/s':>12}{'read of caches':>17}"
    for context, latency, rate, read in context_cells(caches):
        yield f"  {context:<20}{latency:>12}{rate:>12}{read:>17}"
    yield f"  {'tier':<20}{'holds':>12}   overflows by all of them beyond, by full ones beyond"
    for name, held, kept, full in tier_cells(caches):
        yield f"  {plain(name, 19):<20}{held:>12}{kept:>34}{full:>21}"


def _references(report: Report) -> Iterator[str]:
    yield "Other placements"
    order = [name for name in (*STATED_REFERENCES, IDEAL) if name in report.references]
    order += sorted(name for name in report.references if name not in order)
    for name in order:
        latency_s = report.references[name]
        ratio = latency_s / report.latency_s if report.latency_s > 0 else 1.0
        note = "  (unlimited innermost tier: a floor, not a plan)" if name == IDEAL else ""
        yield f"  {plain(name, 20):<20} {seconds_text(latency_s):>10}  {ratio:6.2f}x{note}"
