"""Cycles of the matrix unit for one tile, counted fold by fold."""

from accelerator_sim.mac_array import (
    DotGrid,
    InputStationary,
    MacArray,
    OutputStationary,
    WeightStationary,
)
from graph_ir.errors import InputError
from graph_ir.workload import MacWork


def folds(extent: int, step: int) -> int:
    """How many steps cover the extent, the last one perhaps in part."""
    return -(-extent // step)


def pair_rate(array: MacArray, work: MacWork) -> float:
    """Speed of the unit for the types of a product, relative to its full rate.

    Raises:
        InputError: the accelerator file gives none.
    """
    pair = f"{work.left_type}*{work.right_type}"
    if pair not in array.relative_rate:
        known = ", ".join(sorted(array.relative_rate))
        raise InputError(f"data types: the matrix unit has no rate for {pair}; it has {known}")
    return array.relative_rate[pair].value


def tile_cycles(array: MacArray, work: MacWork, rows: int, columns: int) -> float:
    """Cycles of one tile of `rows x columns` outputs of one product, its reduction included.

    For a depthwise product `columns` counts channels of all its groups.
    """
    rate = pair_rate(array, work)
    match array:
        case DotGrid():
            return _dot_grid(array, work, rows, columns, rate)
        case WeightStationary():
            tiles = folds(work.inner, array.rows) * folds(columns, array.columns)
            ramp = array.rows + array.columns - 2
            if array.weight_double_buffer:
                # The next weights move in behind the rows that pass, if enough rows pass.
                return (tiles * max(rows, array.rows) + ramp) / rate
            return tiles * (array.rows + rows + ramp) / rate
        case OutputStationary():
            tiles = folds(rows, array.rows) * folds(columns, array.columns)
            return tiles * (work.inner + array.rows + array.columns - 2) / rate
        case InputStationary():
            tiles = folds(work.inner, array.rows) * folds(rows, array.columns)
            return tiles * (array.rows + columns + array.rows + array.columns - 2) / rate


def _dot_grid(array: DotGrid, work: MacWork, rows: int, columns: int, rate: float) -> float:
    outputs = folds(rows, array.rows) * folds(columns, array.columns)
    depth = array.depth * rate
    if work.depthwise:
        # Nothing to reduce over but the kernel's positions, one after another.
        return outputs * work.inner / min(1.0, depth)
    if depth < 1.0:
        return outputs * work.inner / depth
    return float(outputs * folds(work.inner, int(depth)))
