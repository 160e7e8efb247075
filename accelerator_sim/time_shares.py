"""Where the time of an inference goes: every second of every op, attributed once."""

from collections.abc import Sequence
from dataclasses import dataclass

from accelerator_sim.report import OpRow

MATRIX = "matrix unit"
VECTOR = "vector unit"
WAITING = "waiting for weights"
OVERHEAD = "launch and fill"

_UNITS = {"mac": MATRIX, "vector": VECTOR}
_EQUAL = 1e-9


@dataclass(frozen=True, slots=True)
class TimeShare:
    """What limited the ops for how long.

    Attributes:
        name: a unit, `memory: TIER`, waiting for weights, or launch and fill.
        seconds: of one inference.
    """

    name: str
    seconds: float


def time_shares(ops: Sequence[OpRow], tier_names: Sequence[str]) -> list[TimeShare]:
    """Split the duration of all ops by what limited them.

    Launch overhead and stalls are counted apart; what is left of an op goes to its slowest
    resource. The shares add up to the latency.

    Args:
        ops: rows of a report.
        tier_names: from outermost to innermost.

    Returns:
        Units first, memories from outermost to innermost, the rest, waiting, overhead; those
        that limited nothing are left out.
    """
    seconds: dict[str, float] = {}
    for op in ops:
        core_s = max(0.0, op.duration_s - op.fill_s - op.stall_s)
        _add(seconds, limit_of(op, core_s), core_s)
        _add(seconds, WAITING, op.stall_s)
        _add(seconds, OVERHEAD, op.fill_s)
    order = [MATRIX, VECTOR, *(f"memory: {name}" for name in tier_names)]
    order += sorted(name for name in seconds if name not in (*order, WAITING, OVERHEAD))
    order += [WAITING, OVERHEAD]
    return [TimeShare(name, seconds[name]) for name in order if seconds.get(name, 0.0) > 0]


def limit_of(op: OpRow, core_s: float) -> str:
    """What the op's time without stall and overhead is as long as.

    Without a stall that is its bound. With one, the bound is the tier that it waited for, and
    what limited the rest is whatever else was busy for that long.
    """
    if op.stall_s <= 0:
        return _UNITS.get(op.bound, f"memory: {op.bound}")
    enough = core_s * (1 - _EQUAL)
    if op.mac_s >= enough and op.mac_s >= op.vector_s:
        return MATRIX
    if op.vector_s >= enough:
        return VECTOR
    others = {k: s for k, s in op.resource_s.items() if k != op.bound and s >= enough}
    return f"memory: {max(others, key=lambda k: (others[k], k)) if others else op.bound}"


def _add(seconds: dict[str, float], name: str, value: float) -> None:
    seconds[name] = seconds.get(name, 0.0) + value
