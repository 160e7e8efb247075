"""From the least time that the matrix products need to the latency, step by step.

Every second of every op is counted once. Of an op that lasts `duration_s`:

- launch and fill take `fill_s`, waiting for weights `stall_s`; what is left is its *core* time;
- the ideal is the time of its products at the full rate of the array on all cores;
- utilisation loss is what the array needs beyond that (edge tiles, idle cores, shapes that do not
  fit the grid);
- what the vector unit needs beyond the array is counted for the vector unit;
- what the core time is longer than both units is counted for the memory, interconnect or port that
  it is as long as.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import fsum

from accelerator_sim.report import OpRow
from accelerator_sim.time_shares import MATRIX, VECTOR, limit_of

TOP_STALLS = 6

IDEAL = "ideal"
UTILIZATION = "utilization"
VECTOR_UNIT = "vector"
MEMORY = "memory"
STALL = "stall"
OVERHEAD = "overhead"


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the waterfall.

    Attributes:
        kind: `ideal`, `utilization`, `vector`, `memory`, `stall` or `overhead`.
        name: for people; the memory of a `memory` step, the tensor of a `stall` step ("" for all
            tensors that are not named).
        seconds: of one inference.
        count: ops of a memory step; tensors of a stall step.
    """

    kind: str
    name: str
    seconds: float
    count: int


def waterfall(ops: Sequence[OpRow], latency_s: float, top_stalls: int = TOP_STALLS) -> list[Step]:
    """The steps in the order in which they are drawn; they add up to the latency.

    Args:
        ops: rows of a report.
        latency_s: of the report; the ops follow each other without gaps.
        top_stalls: tensors that are named.
    """
    ideal, loss, vector = [], [], []
    memory: dict[str, list[float]] = {}
    stalls: dict[str, list[float]] = {}
    for op in ops:
        core_s = max(0.0, op.duration_s - op.fill_s - op.stall_s)
        mac_s = min(op.mac_s, core_s)
        ideal_s = min(op.utilization * op.duration_s, mac_s)
        unit_s = min(max(op.mac_s, op.vector_s), core_s)
        ideal.append(ideal_s)
        loss.append(mac_s - ideal_s)
        vector.append(unit_s - mac_s)
        limit = limit_of(op, core_s)
        if core_s > unit_s and limit not in (MATRIX, VECTOR):
            memory.setdefault(limit.removeprefix("memory: "), []).append(core_s - unit_s)
        if op.stall_s > 0:
            stalls.setdefault(op.stall_tensor, []).append(op.stall_s)
    steps = [
        Step(IDEAL, "", fsum(ideal), len(ops)),
        Step(UTILIZATION, "", fsum(loss), len(ops)),
        Step(VECTOR_UNIT, "", fsum(vector), len(ops)),
    ]
    steps += [Step(MEMORY, name, fsum(s), len(s)) for name, s in sorted(memory.items())]
    ranked = sorted(((fsum(s), name) for name, s in stalls.items()), key=lambda x: (-x[0], x[1]))
    steps += [Step(STALL, name, seconds, 1) for seconds, name in ranked[:top_stalls]]
    rest = ranked[top_stalls:]
    if rest:
        steps.append(Step(STALL, "", fsum(seconds for seconds, _ in rest), len(rest)))
    # Durations are differences of times, so the sum of the parts is off by their rounding.
    overhead = latency_s - fsum(step.seconds for step in steps)
    steps.append(Step(OVERHEAD, "", max(0.0, overhead), len(ops)))
    return steps
