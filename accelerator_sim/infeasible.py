"""Why buffers do not fit a memory: demand, capacity, gap, who needs it, what would help."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from accelerator_sim.allocate.buffers import Buffer
from graph_ir.errors import UnmetRequirementError
from graph_ir.text import quoted

_TOP = 8


@dataclass(frozen=True, slots=True)
class Contributor:
    """A buffer that is live at the worst time.

    Attributes:
        name: of the tensor.
        kind: weight, activation, state, scratch, io or buffer.
        size_bytes: what it takes.
    """

    name: str
    kind: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Infeasibility:
    """A memory that is asked for more than it has.

    Attributes:
        where: the memory (or the problem's file).
        at: the op or time at which demand is highest.
        demand_bytes: live there at once, offsets rounded up to their alignment.
        capacity_bytes: of the memory.
        top: the largest contributors, largest first.
        others: how many more there are.
        others_bytes: what those take.
        levers: what would help, one line each.
        unit: of demand and capacity.
    """

    where: str
    at: str
    demand_bytes: int
    capacity_bytes: int
    top: tuple[Contributor, ...]
    others: int
    others_bytes: int
    levers: tuple[str, ...]
    unit: str = "bytes"

    @property
    def gap_bytes(self) -> int:
        """What is missing."""
        return self.demand_bytes - self.capacity_bytes

    def to_error(self) -> UnmetRequirementError:
        """One line, and the rest as its details."""
        message = (
            f"{self.where}: {self.demand_bytes} {self.unit} are needed at {self.at}, capacity is "
            f"{self.capacity_bytes} ({self.gap_bytes} too few)"
        )
        details = ["Largest contributors:"]
        details += [f"  {quoted(c.name)} ({c.kind}): {c.size_bytes} {self.unit}" for c in self.top]
        if self.others:
            details.append(f"  and {self.others} more: {self.others_bytes} {self.unit}")
        details += [f"What would help: {lever}" for lever in self.levers]
        return UnmetRequirementError(message, tuple(details))


def explain(
    where: str,
    buffers: Sequence[Buffer],
    capacity_bytes: int,
    *,
    op_names: Sequence[str] = (),
    kinds: Mapping[str, str] | None = None,
    levers: Sequence[str] = (),
) -> Infeasibility | None:
    """Find the time at which most is live, and say what is in the way.

    Args:
        where: name of the tier, or of the problem.
        buffers: all that must be in it.
        capacity_bytes: what it has.
        op_names: where times are op indices, their names.
        kinds: kind of each buffer by name.
        levers: what the caller knows would help (a lower precision, partitioned weights, a
            smaller dimension); the needed capacity is always stated.

    Returns:
        The explanation, or None where no moment asks for more than the capacity.
    """
    time, demand = _worst(buffers)
    if demand <= capacity_bytes:
        return None
    live = [b for b in buffers if b.lower <= time < b.upper]
    live.sort(key=lambda b: (-b.size_bytes, b.lower, b.upper, b.name))
    kinds = kinds or {}
    rest = live[_TOP:]
    at = f"op {quoted(op_names[time])}" if 0 <= time < len(op_names) else f"time {time}"
    return Infeasibility(
        where=where,
        at=at,
        demand_bytes=demand,
        capacity_bytes=capacity_bytes,
        top=tuple(
            Contributor(b.name, kinds.get(b.name, "buffer"), b.size_bytes) for b in live[:_TOP]
        ),
        others=len(rest),
        others_bytes=sum(b.size_bytes for b in rest),
        levers=(f"a capacity of at least {demand} bytes", *levers),
    )


def _worst(buffers: Sequence[Buffer]) -> tuple[int, int]:
    """The time that asks for most, and how many bytes at least are taken then.

    Offsets are multiples of the alignments' common divisor, so that all sizes but the topmost
    one's count rounded up to it.
    """
    unit = math.gcd(*(b.alignment_bytes for b in buffers))
    rounded = [-(-b.size_bytes // max(1, unit)) * max(1, unit) for b in buffers]
    slack = max((r - b.size_bytes for r, b in zip(rounded, buffers, strict=True)), default=0)
    time, units = _peak(buffers, rounded)
    plain_time, plain = _peak(buffers, [b.size_bytes for b in buffers])
    return (plain_time, plain) if plain >= units - slack else (time, units - slack)


def _peak(buffers: Sequence[Buffer], sizes: Sequence[int]) -> tuple[int, int]:
    """The first time at which the sizes of what is live are largest, and their sum."""
    change: dict[int, int] = {}
    for b, size in zip(buffers, sizes, strict=True):
        change[b.lower] = change.get(b.lower, 0) + size
        change[b.upper] = change.get(b.upper, 0) - size
    worst_time, worst, live = 0, 0, 0
    for time in sorted(change):
        live += change[time]
        if live > worst:
            worst_time, worst = time, live
    return worst_time, worst
