"""What the compiled engine walks when it evaluates whole placements, in the order that it reads it.

Axis letters as in `walk.py`.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from accelerator_sim.kernel import WALK_STEP, WALK_TIERS, to_walk_table
from accelerator_sim.price_table import PriceTable


@dataclass(frozen=True, slots=True)
class BatchArrays:
    """The last parameters of `walk.evaluate_kernel`, in their order."""

    untabled_D: NDArray[np.int64]
    first_N: NDArray[np.int32]
    term_op_G: NDArray[np.int32]
    term_tensor_G: NDArray[np.int32]
    term_step_G: NDArray[np.int32]
    walk_QW: NDArray[np.float64]
    resident_R: NDArray[np.int32]
    resident_bytes_RH: NDArray[np.int64]
    moving_M: NDArray[np.int32]
    moving_start_M: NDArray[np.int32]
    moving_end_M: NDArray[np.int32]
    moving_bytes_MH: NDArray[np.int64]
    fixed_LB: NDArray[np.int64]


def build_batch_arrays(
    table: PriceTable,
    row_start_N: NDArray[np.int64],
    row_tensor_E: NDArray[np.int64],
    allowed_TH: NDArray[np.bool_],
    size_bytes_TH: NDArray[np.int64],
    tier_H: NDArray[np.int64],
    start_T: NDArray[np.int64],
    end_T: NDArray[np.int64],
    tier_count: int,
) -> BatchArrays:
    """Leave out what does not depend on a placement; see `EngineArrays` for the arguments."""
    op_count = len(row_start_N) - 1
    row_op_E = np.repeat(np.arange(op_count), np.diff(row_start_N))
    terms = np.flatnonzero((table.radix_E > 0) & (table.first_record_N[row_op_E] >= 0))
    op_G = row_op_E[terms]
    rank_G = np.arange(len(terms)) - np.searchsorted(op_G, op_G)
    terms = terms[np.lexsort((op_G, rank_G))]

    # One record more, so that ops without a table have one to copy before they are priced.
    records = len(table.table_QF) - len(table.untabled_D)
    walk_QW = np.zeros((records + 1, WALK_TIERS + WALK_STEP * (tier_count - 1)))
    to_walk_table(table.table_QF[:records], tier_count, walk_QW[:records])

    free_T = allowed_TH.sum(axis=1) > 1
    whole_T = (start_T == 0) & (end_T == op_count)
    some_T = size_bytes_TH.any(axis=1) & (end_T > start_T)
    resident = np.flatnonzero(free_T & whole_T & some_T)
    moving = np.flatnonzero(free_T & ~whole_T & some_T)
    fixed = np.flatnonzero(~free_T & some_T)
    home_X = allowed_TH[fixed].argmax(axis=1)
    fixed_LB = np.zeros((tier_count, op_count + 1), np.int64)
    np.add.at(fixed_LB, (tier_H[home_X], start_T[fixed]), size_bytes_TH[fixed, home_X])
    np.subtract.at(fixed_LB, (tier_H[home_X], end_T[fixed]), size_bytes_TH[fixed, home_X])
    return BatchArrays(
        untabled_D=table.untabled_D,
        first_N=np.where(table.first_record_N >= 0, table.first_record_N, records).astype(np.int32),
        term_op_G=row_op_E[terms].astype(np.int32),
        term_tensor_G=row_tensor_E[terms].astype(np.int32),
        term_step_G=table.radix_E[terms].astype(np.int32),
        walk_QW=walk_QW,
        resident_R=resident.astype(np.int32),
        resident_bytes_RH=size_bytes_TH[resident],
        moving_M=moving.astype(np.int32),
        moving_start_M=start_T[moving].astype(np.int32),
        moving_end_M=end_T[moving].astype(np.int32),
        moving_bytes_MH=size_bytes_TH[moving],
        fixed_LB=fixed_LB,
    )
