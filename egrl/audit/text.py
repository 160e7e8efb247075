"""The audit as a person reads it in ten seconds, and the pins as they are pasted."""

import json

from egrl.audit.result import AuditResult, JudgedPlan, MoveChange

HARDLY_MATTERS = 0.02
"""Where even a first-fit plan is this close to the bound, placement does not matter."""

MAX_NAME = 72

_TIME_UNITS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "us"), (1e-9, "ns"))
_BYTE_UNITS = ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"))
_STATUS = {
    "optimal": "the best found is optimal",
    "gap reached": "search ended close to the bound",
    "time limit": "search ended with the time limit; more time may raise the bound",
    "floor": "too large for the solver: each op on its own, capacity ignored",
}
_MAX_REPAIRS = 10


def audit_text(result: AuditResult) -> str:
    """The summary: verdict, gap, moves, pins."""
    plan = result.plan
    yours = "your plan" if plan.source == "given" else "first fit"
    name = f"{printable(result.problem)}: " if result.problem else ""
    lines = [f"{name}{result.ops} ops, {result.tensors} tensors, {len(plan.tiers)} tiers"]
    if plan.source != "given":
        lines.append("no plan was given; a first-fit plan stands in for it")
    lines.append("")
    if not plan.fits:
        lines += [f"{yours} does not fit:", *_why(plan), ""]
    rows = [(yours, plan.latency_s, plan.gap if plan.overflows == [] else None)]
    rows.append(("best found", result.best.latency_s, result.best.gap))
    for label, latency_s, gap in rows:
        lines.append(f"{label:<12}{seconds_text(latency_s):>12}{_gap_text(gap)}")
    lines.append(
        f"{'bound':<12}{seconds_text(result.bound_s):>12}  no plan is faster "
        f"({_STATUS[result.bound_status]})"
    )
    lines += _closable(result, yours)
    lines.append("")
    lines += [
        f"{printable(use.tier):<12}{bytes_text(use.peak_bytes):>12} at peak of "
        + ("no limit" if use.capacity_bytes is None else bytes_text(use.capacity_bytes))
        for use in plan.tiers
    ]
    if result.repair:
        lines += ["", "to make it fit"]
        lines += [f"  {_change_text(change)}" for change in result.repair[:_MAX_REPAIRS]]
        if len(result.repair) > _MAX_REPAIRS:
            lines.append(f"  and {len(result.repair) - _MAX_REPAIRS} more (--json has them)")
    if result.moves:
        lines += ["", "moves that recover most, each on top of those above it"]
        for number, move in enumerate(result.moves, start=1):
            what = ", ".join(_change_text(change) for change in move.changes)
            lines.append(
                f"  {number}  -{seconds_text(move.gain_s)} ({100 * move.gain_share:.2f} %)  {what}"
            )
        lines.append(f"  after all: {seconds_text(result.moves[-1].latency_after_s)}")
    if result.pins:
        lines += ["", "pins to paste", *pins_toml(result.pins).splitlines()]
    if not result.best.addresses_found:
        lines += [
            "",
            "note: first fit finds no addresses for the best plan; an allocator with search may",
        ]
    return "\n".join(lines) + "\n"


def pins_toml(pins: dict[str, str]) -> str:
    """Pins as a TOML table; a JSON string is a TOML basic string."""
    lines = ["[pins]"]
    lines += [f"{_toml_string(tensor)} = {_toml_string(tier)}" for tensor, tier in pins.items()]
    return "\n".join(lines) + "\n"


def seconds_text(seconds: float) -> str:
    """Four significant digits with a unit."""
    for scale, unit in _TIME_UNITS:
        if abs(seconds) >= scale:
            return f"{seconds / scale:.4g} {unit}"
    return f"{seconds / 1e-9:.3g} ns"


def bytes_text(count: int) -> str:
    """Three decimals at most with a binary unit."""
    for scale, unit in _BYTE_UNITS:
        if count >= scale:
            return f"{count / scale:.2f} {unit}"
    return f"{count} B"


def printable(name: str) -> str:
    """A name from a file, safe to print: control characters escaped, long ones cut inside."""
    text = name if name.isprintable() else ascii(name)[1:-1]
    return text if len(text) <= MAX_NAME else f"{text[:36]}...{text[-(MAX_NAME - 39) :]}"


def _toml_string(text: str) -> str:
    # JSON escapes all that TOML must have escaped except DEL.
    return json.dumps(text, ensure_ascii=True).replace("\x7f", "\\u007f")


def _change_text(change: MoveChange) -> str:
    return (
        f"{printable(change.tensor)}: {printable(change.from_tier)} -> {printable(change.to_tier)}"
    )


def _gap_text(gap: float | None) -> str:
    return "" if gap is None else f"  {100 * gap:.2f} % above the bound"


def _why(plan: JudgedPlan) -> list[str]:
    lines: list[str] = []
    for over in plan.overflows:
        lines.append(
            f"  {printable(over.tier)} holds {bytes_text(over.capacity_bytes)}, needs "
            f"{bytes_text(over.peak_bytes)} at op {over.op_index} ({printable(over.op)}): "
            f"{over.over_bytes} bytes too many; over at {over.ops_over} ops"
        )
        named = [
            f"{printable(name)} ({bytes_text(size)})"
            for name, size in zip(over.largest, over.largest_bytes, strict=True)
        ]
        lines.append(f"    largest there: {', '.join(named)}")
    if plan.misplaced:
        names = ", ".join(printable(name) for name in plan.misplaced[:8])
        lines.append(f"  {len(plan.misplaced)} tensors are where they may not be: {names}")
    lines += [f"  {fault.fault}: {printable_line(fault.text)}" for fault in plan.address_faults[:5]]
    if plan.address_fault_count > 5:
        lines.append(f"  and {plan.address_fault_count - 5} more address faults")
    return lines


def printable_line(text: str) -> str:
    """A line made by us around names that were quoted with `repr`."""
    return text if len(text) <= 300 else text[:297] + "..."


def _closable(result: AuditResult, yours: str) -> list[str]:
    plan = result.plan
    if plan.gap is None or result.closable_s is None:
        return []
    if result.closable_s <= 1e-9 * plan.latency_s:
        return [f"{yours} is the best that was found"]
    share = result.closable_s / plan.latency_s
    lines = [
        f"{'closable':<12}{seconds_text(result.closable_s):>12}  {100 * share:.2f} % of {yours}"
    ]
    if plan.source != "given" and plan.gap <= HARDLY_MATTERS:
        lines.append("placement hardly matters here: even first fit is close to the bound")
    return lines
