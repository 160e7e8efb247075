"""The values of an incremental evaluation: what stays, and a placement with its timeline.

Axis letters as in `problem.py`; U operand rows in the order of the tensors that they use; M one
mark at the beginning of every op and one at the end.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from accelerator_sim.problem import PlacementProblem
from graph_ir.workload import TensorKind

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
I8 = NDArray[np.int8]


class Tables(NamedTuple):
    """What does not change: the engine's arrays and the way back from tensors to ops."""

    variant_start_N: I64
    row_start_N: I64
    row_tensor_E: I64
    row_cell_E: I64
    row_is_read_E: NDArray[np.bool_]
    cost_CK: F64
    stream_C: F64
    ring_bytes_C: F64
    compute_V: F64
    fill_V: F64
    latency_H: F64
    tier_H: I64
    size_bytes_TH: I64
    start_T: I64
    end_T: I64
    capacity_bytes_L: I64
    staging_bytes: int
    ring_bytes: float
    prefetch_ops: int
    radix_E: I64
    first_record_N: I64
    untabled_D: I64
    table_QF: F64
    untabled_N: I64
    use_start_T: I64
    use_row_U: I64
    row_op_E: I64
    streamed_T: NDArray[np.bool_]
    allowed_TH: NDArray[np.bool_]
    own_K: F64
    stream_L: F64
    ring_L: F64


class State(NamedTuple):
    """A placement, its live bytes and its timeline at the beginning of every op.

    `total_M`, `queue_op_M`, `queue_tier_M`, `partial_M` and `occupied_M` have a row per op and one
    for the end; the names beginning with `new_` are the same for the move under trial.
    """

    homes_T: I8
    record_N: I64
    live_LN: I64
    peak_L: I64
    resident_L: I64
    streaming: I64
    window: I64
    total_M: F64
    queue_op_M: I64
    queue_tier_M: I64
    partial_M: F64
    occupied_M: F64
    fetched_NL: F64
    new_total_M: F64
    new_queue_op_M: I64
    new_queue_tier_M: I64
    new_partial_M: F64
    new_occupied_M: F64
    new_fetched_NL: F64


def build_tables(problem: PlacementProblem) -> Tables:
    """The tables of a problem, once per search."""
    a = problem.arrays
    op_count, tensor_count = problem.op_count, problem.tensor_count
    row_op_E = np.repeat(np.arange(op_count), np.diff(a.row_start_N))
    untabled_N = np.full(op_count, -1, np.int64)
    untabled_N[a.untabled_D] = (
        a.table_QF.shape[0] - len(a.untabled_D) + np.arange(len(a.untabled_D))
    )
    counts = np.bincount(a.row_tensor_E, minlength=tensor_count)
    streamed_T = np.zeros(tensor_count, np.bool_)
    for op in problem.workload.ops:
        for operand in op.operands:
            kind = problem.workload.tensors[operand.tensor].kind
            if kind in (TensorKind.WEIGHT, TensorKind.STATE) and not operand.is_write:
                streamed_T[operand.tensor] |= operand.traffic_bytes > 0
    values = {name: getattr(a, name) for name in a.__slots__}
    if len(a.untabled_D):
        # The records of ops without a table are scratch: this search needs its own.
        values["table_QF"] = a.table_QF.copy()
    return Tables(
        **values,
        untabled_N=untabled_N,
        use_start_T=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        use_row_U=np.argsort(a.row_tensor_E, kind="stable").astype(np.int64),
        row_op_E=row_op_E.astype(np.int64),
        streamed_T=streamed_T,
        allowed_TH=problem.allowed_TH,
        own_K=np.empty(a.cost_CK.shape[1]),
        stream_L=np.empty(len(a.capacity_bytes_L)),
        ring_L=np.empty(len(a.capacity_bytes_L)),
    )


def empty_state(tables: Tables, homes_T: I8) -> State:
    """Room for the state of a placement; `moves.reset` fills it."""
    op_count = len(tables.first_record_N)
    tier_count = len(tables.capacity_bytes_L)
    marks = op_count + 1

    def timeline() -> tuple[F64, I64, I64, F64, F64, F64]:
        return (
            np.zeros(marks), np.zeros(marks, np.int64), np.zeros(marks, np.int64),
            np.zeros(marks), np.zeros(marks), np.zeros((marks, tier_count)),
        )  # fmt: skip

    return State(
        np.array(homes_T, np.int8), np.zeros(op_count, np.int64),
        np.zeros((tier_count, op_count), np.int64), np.zeros(tier_count, np.int64),
        np.zeros(tier_count, np.int64), np.zeros(1, np.int64), np.zeros(2, np.int64),
        *timeline(), *timeline(),
    )  # fmt: skip
