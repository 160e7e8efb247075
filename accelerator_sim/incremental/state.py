"""The values of an incremental evaluation: what stays, and a placement with its timeline.

Related columns share an array, since compiled functions are handed every array by itself and take
long to compile where there are many. Axis letters as in `problem.py`; U operand rows in the order
of the tensors that they use; M one mark at the beginning of every op and one at the end; F named
columns.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from accelerator_sim.problem import PlacementProblem

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
I8 = NDArray[np.int8]

START, END, FIRST_USE, LAST_USE, STREAMED = range(5)
"""Columns of `tensor_TF`: its lifetime, its rows of `use_UF`, whether it streams from outside."""

OP, RADIX = range(2)
"""Columns of `use_UF`: the op, and the step in records of its table, 0 without a table."""

FIRST_VARIANT, FIRST_ROW, FIRST_RECORD, UNTABLED = range(4)
"""Columns of `op_MF`: as in `EngineArrays`, and the record of its own for an op without a table."""

TENSOR, CELL, IS_READ, ROW_RADIX = range(4)
"""Columns of `row_EF`: as in `EngineArrays`."""

PEAK, RESIDENT = range(2)
"""Columns of `tier_LF`: most live bytes at any op, and bytes of what lives all the time."""

STREAMING, FIRST, LAST = range(3)
"""Places in `counter_F`: streaming tensors now; first and last op that changed."""

TOTAL, PARTIAL, OCCUPIED = range(3)
"""Columns of `mark_SMF`: time so far, what the head of the queue has got, bytes in the ring."""

QUEUE_OP, QUEUE_TIER = range(2)
"""Columns of `queue_SMF`: the head of the DMA queue."""

KEPT, TRIAL = range(2)
"""The axis S: the timeline as it is, and with the move under trial."""


class Tables(NamedTuple):
    """What does not change while a placement does."""

    tensor_TF: I64
    use_UF: I64
    size_bytes_TH: I64
    allowed_TH: NDArray[np.bool_]
    tier_H: I64
    latency_H: F64
    capacity_bytes_L: I64
    op_MF: I64
    row_EF: I64
    cell_CF: F64
    variant_VF: F64
    table_QF: F64
    staging_bytes: int
    ring_bytes: float
    prefetch_ops: int


class State(NamedTuple):
    """A placement, its live bytes and its timeline."""

    homes_T: I8
    record_N: I64
    live_LN: I64
    tier_LF: I64
    counter_F: I64
    mark_SMF: F64
    queue_SMF: I64
    fetched_SML: F64


def build_tables(problem: PlacementProblem) -> Tables:
    """The tables of a problem, once per search."""
    a = problem.arrays
    op_count, tensor_count = problem.op_count, problem.tensor_count
    row_op_E = np.repeat(np.arange(op_count), np.diff(a.row_start_N))
    op_MF = np.full((op_count + 1, 4), -1, np.int64)
    op_MF[:, FIRST_VARIANT] = a.variant_start_N
    op_MF[:, FIRST_ROW] = a.row_start_N
    op_MF[:op_count, FIRST_RECORD] = a.first_record_N
    own_records = a.table_QF.shape[0] - len(a.untabled_D)
    op_MF[a.untabled_D, UNTABLED] = own_records + np.arange(len(a.untabled_D))
    by_tensor = np.argsort(a.row_tensor_E, kind="stable")
    uses = np.concatenate([[0], np.cumsum(np.bincount(a.row_tensor_E, minlength=tensor_count))])
    tensor_TF = np.stack([a.start_T, a.end_T, uses[:-1], uses[1:], a.streamed_T], axis=1)
    return Tables(
        tensor_TF=np.ascontiguousarray(tensor_TF, np.int64),
        use_UF=np.stack([row_op_E, a.radix_E], axis=1)[by_tensor].astype(np.int64),
        size_bytes_TH=a.size_bytes_TH,
        allowed_TH=problem.allowed_TH,
        tier_H=a.tier_H,
        latency_H=a.latency_H,
        capacity_bytes_L=a.capacity_bytes_L,
        op_MF=op_MF,
        row_EF=np.stack([a.row_tensor_E, a.row_cell_E, a.row_is_read_E, a.radix_E], axis=1).astype(
            np.int64
        ),
        cell_CF=np.column_stack([a.cost_CK, a.stream_C, a.ring_bytes_C]),
        variant_VF=np.stack([a.compute_V, a.fill_V], axis=1),
        # The records of ops without a table are scratch: a search needs its own.
        table_QF=a.table_QF.copy() if len(a.untabled_D) else a.table_QF,
        staging_bytes=a.staging_bytes,
        ring_bytes=a.ring_bytes,
        prefetch_ops=a.prefetch_ops,
    )


def empty_state(tables: Tables, homes_T: I8) -> State:
    """Room for the state of a placement; `moves.reset` fills it."""
    op_count = len(tables.op_MF) - 1
    tier_count = len(tables.capacity_bytes_L)
    return State(
        homes_T=np.array(homes_T, np.int8),
        record_N=np.zeros(op_count, np.int64),
        live_LN=np.zeros((tier_count, op_count), np.int64),
        tier_LF=np.zeros((tier_count, 2), np.int64),
        counter_F=np.zeros(3, np.int64),
        mark_SMF=np.zeros((2, op_count + 1, 3)),
        queue_SMF=np.zeros((2, op_count + 1, 2), np.int64),
        fetched_SML=np.zeros((2, op_count + 1, tier_count)),
    )
