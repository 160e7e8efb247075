"""One record per op and combination of its operands' homes, shared by ops of the same shape."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from accelerator_sim.kernel import OWN, fill_table

MAX_COMBINATIONS = 4096
MAX_RECORDS = 1 << 20


@dataclass(frozen=True, slots=True)
class PriceTable:
    """See `kernel.py` for the record and for how the arrays are used."""

    radix_E: NDArray[np.int64]
    first_record_N: NDArray[np.int64]
    untabled_D: NDArray[np.int64]
    table_QF: NDArray[np.float64]


def build_price_table(
    pricing: tuple[Any, ...], allowed_TH: NDArray[np.bool_], tier_count: int
) -> PriceTable:
    """Price every op under every combination of homes, within the limits above.

    Args:
        pricing: the first twelve arrays of the engine, in the order of `kernel.price_op`.
        allowed_TH: the homes of each tensor; one with a single home takes no part in the index.
        tier_count: L.
    """
    (variant_start, row_start, row_tensor, row_cell, row_is_read, cost, stream, ring) = pricing[:8]
    compute, fill, _latency, tier_of_home = pricing[8:12]
    home_count = len(tier_of_home)
    op_count = len(row_start) - 1
    radix_E = np.zeros(len(row_tensor), np.int64)
    free_T = allowed_TH.sum(axis=1) > 1
    home_T = allowed_TH.argmax(axis=1).astype(np.int8)
    first_record_N = np.full(op_count, -1, np.int64)
    shapes: dict[bytes, int] = {}
    to_fill: list[tuple[int, int]] = []
    untabled: list[int] = []
    records = 0
    for op in range(op_count):
        rows = range(int(row_start[op]), int(row_start[op + 1]))
        step = 1
        for row in rows:
            if free_T[row_tensor[row]]:
                radix_E[row] = step
                step *= home_count
        if step > MAX_COMBINATIONS or records + step > MAX_RECORDS:
            untabled.append(op)
            continue
        variants = slice(int(variant_start[op]), int(variant_start[op + 1]))
        cells = slice(
            int(row_cell[rows[0]]),
            int(row_cell[rows[-1]]) + (variants.stop - variants.start) * home_count,
        )
        shape = b"|".join(
            (
                _operand_pattern(row_tensor[rows.start : rows.stop], free_T, home_T),
                row_is_read[rows.start : rows.stop].tobytes(),
                cost[cells].tobytes(),
                stream[cells].tobytes(),
                ring[cells].tobytes(),
                compute[variants].tobytes(),
                fill[variants].tobytes(),
            )
        )
        if shape not in shapes:
            shapes[shape] = records
            to_fill.append((op, records))
            records += step
        first_record_N[op] = shapes[shape]
    fields = OWN + cost.shape[1] + 2 * tier_count
    table_QF = np.zeros((records + len(untabled), fields))
    for op, first in to_fill:
        fill_table(op, first, radix_E, table_QF, home_T, *pricing[:12], tier_count)
    return PriceTable(radix_E, first_record_N, np.array(untabled, np.int64), table_QF)


def _operand_pattern(
    tensors: NDArray[np.int64], free_T: NDArray[np.bool_], home_T: NDArray[np.int8]
) -> bytes:
    """Which operands are one tensor, and where those that are pinned live."""
    first = [int(np.flatnonzero(tensors == tensor)[0]) for tensor in tensors]
    pinned = [-1 if free_T[tensor] else int(home_T[tensor]) for tensor in tensors]
    return repr((first, pinned)).encode()
