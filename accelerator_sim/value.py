"""What each home of a tensor is worth: an estimate that looks at one tensor at a time.

The estimate of a tensor in a home is the time of the ops that use it when every other tensor is in
its *ideal* home, the one that it would have if no memory had a limit, and when nothing has been
prefetched. It overstates what a single tensor saves where several are outside at once, and it
cannot see prefetching; the engine can. It orders tensors for rectification and for the references.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from accelerator_sim.compiled import compiled
from accelerator_sim.incremental.moves import record_of
from accelerator_sim.incremental.state import (
    FIRST_USE,
    LAST_USE,
    OP,
    Tables,
    build_tables,
)
from accelerator_sim.kernel import CORE, FILL, LATE_LATENCY, OWN, STREAMS
from accelerator_sim.problem import PlacementProblem

RESOLUTION_S = 1e-12
"""Times are rounded to picoseconds, so that no order hangs on the last bit of a sum."""

MAX_SWEEPS = 16


@dataclass(frozen=True, slots=True)
class TensorValues:
    """Estimates for all tensors of a problem.

    Attributes:
        ideal_T: int8, home of every tensor if no memory had a limit.
        seconds_TH: time of its ops with the tensor in each home; infinite where it may not live.
        order_TH: int8, allowed homes from the innermost tier to the outermost, inside a tier by
            `seconds_TH`, then by fewer bytes, then by index; -1 after the last.
    """

    ideal_T: NDArray[np.int8]
    seconds_TH: NDArray[np.float64]
    order_TH: NDArray[np.int8]

    def saved_s(self, tensor: int, home: int, instead_of: int) -> float:
        """Seconds that a tensor saves in one home instead of another."""
        return float(self.seconds_TH[tensor, instead_of] - self.seconds_TH[tensor, home])


def value_tensors(problem: PlacementProblem, tables: Tables | None = None) -> TensorValues:
    """Estimate what each home of each tensor is worth.

    Args:
        problem: the problem.
        tables: its tables, where the caller has them already.
    """
    tables = build_tables(problem) if tables is None else tables
    seconds_TH = np.full(problem.allowed_TH.shape, np.inf)
    homes = np.arange(problem.allowed_TH.shape[1])
    ideal_T = np.where(problem.allowed_TH, homes, -1).max(axis=1).astype(np.int8)
    _relax(tables, ideal_T, seconds_TH)
    seconds_TH = np.round(seconds_TH / RESOLUTION_S) * RESOLUTION_S
    return TensorValues(ideal_T, seconds_TH, ordered_homes(problem, seconds_TH))


def ordered_homes(problem: PlacementProblem, seconds_TH: NDArray[np.float64]) -> NDArray[np.int8]:
    """Allowed homes from the innermost tier outwards, -1 after the last: int8, [T, H].

    Args:
        problem: the problem.
        seconds_TH: the lowest of a tier come first, then those that take fewest bytes.
    """
    allowed_TH, tiers_H = problem.allowed_TH, problem.arrays.tier_H.astype(np.int64)
    homes_H = np.arange(len(tiers_H))
    keys = np.broadcast_arrays(
        homes_H, problem.arrays.size_bytes_TH, seconds_TH, -tiers_H, ~allowed_TH
    )
    order_TH = np.lexsort(keys, axis=-1)
    order_TH[homes_H >= allowed_TH.sum(axis=1, keepdims=True)] = -1
    return order_TH.astype(np.int8)


@compiled
def op_seconds(tables: Tables, homes_T: NDArray[np.int8], op: int) -> float:
    """Time of one op alone, nothing prefetched."""
    tier_count = tables.capacity_bytes_L.shape[0]
    table_QF = tables.table_QF
    record = record_of(tables, homes_T, op)
    stream_0 = table_QF.shape[1] - 2 * tier_count
    seconds = table_QF[record, CORE]
    for k in range(tier_count):
        seconds = max(seconds, table_QF[record, OWN + k] + table_QF[record, stream_0 + k])
    seconds += table_QF[record, FILL]
    if table_QF[record, STREAMS] > 0.0:
        seconds += table_QF[record, LATE_LATENCY]
    return float(seconds)


@compiled
def op_seconds_N(tables: Tables, homes_T: NDArray[np.int8]) -> NDArray[np.float64]:
    """Time of every op alone, nothing prefetched."""
    seconds_N = np.empty(tables.op_MF.shape[0] - 1)
    for op in range(seconds_N.shape[0]):
        seconds_N[op] = op_seconds(tables, homes_T, op)
    return seconds_N


@compiled
def _relax(tables: Tables, homes_T: NDArray[np.int8], seconds_TH: NDArray[np.float64]) -> None:
    """Move one tensor at a time to its best home until none gains; then fill the estimates."""
    home_count = seconds_TH.shape[1]
    for sweep in range(MAX_SWEEPS + 1):
        changed = False
        for t in range(homes_T.shape[0]):
            home = homes_T[t]
            best = home
            for h in range(home_count - 1, -1, -1):
                if not tables.allowed_TH[t, h]:
                    continue
                homes_T[t] = h
                seconds = 0.0
                before = -1
                for use in range(tables.tensor_TF[t, FIRST_USE], tables.tensor_TF[t, LAST_USE]):
                    op = tables.use_UF[use, OP]
                    if op != before:
                        seconds += op_seconds(tables, homes_T, op)
                    before = op
                seconds_TH[t, h] = seconds
            for h in range(home_count - 1, -1, -1):
                if seconds_TH[t, h] < seconds_TH[t, best] - RESOLUTION_S:
                    best = h
            homes_T[t] = home
            if best != home and sweep < MAX_SWEEPS:
                homes_T[t] = best
                changed = True
        if not changed:
            return
