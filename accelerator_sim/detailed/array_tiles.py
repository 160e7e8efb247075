"""Cycles of the matrix unit for one tile, counted fold by fold."""

from accelerator_sim.mac_array import (
    DirectConvolution,
    DotGrid,
    EthosU55,
    EthosU85,
    InputStationary,
    MacArray,
    OutputStationary,
    WeightStationary,
)
from graph_ir.errors import InputError
from graph_ir.workload import MacWork, Op, OpFamily


def folds(extent: int, step: int) -> int:
    """How many steps cover the extent, the last one perhaps in part."""
    return -(-extent // step)


def pair_rate(array: MacArray, work: MacWork) -> float:
    """Speed of the unit for the types of a product, relative to its full rate.

    Raises:
        InputError: the accelerator file gives none.
    """
    # A narrow weight is widened on the way in, at last to the activation's type.
    stored = ("int2", "int4", "int8")
    right = work.right_type
    wider = (*stored[stored.index(right) + 1 :], work.left_type) if right in stored else ()
    for kind in (right, *wider):
        rate = array.relative_rate.get(f"{work.left_type}*{kind}")
        if rate is not None:
            return rate.value
    known = ", ".join(sorted(array.relative_rate))
    raise InputError(
        f"data types: the matrix unit has no rate for {work.left_type}*{right}; it has {known}"
    )


def tile_cycles(array: MacArray, work: MacWork, rows: int, columns: int) -> float:
    """Cycles of one tile of `rows x columns` outputs of one product, its reduction included.

    For a depthwise product `columns` counts channels of all its groups.
    """
    rate = pair_rate(array, work)
    if work.depthwise and isinstance(array, WeightStationary | OutputStationary | InputStationary):
        return _systolic_depthwise(array, work, rows, columns) / rate
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
        case DirectConvolution():
            return _direct(array, work, rows, columns) / rate
        case EthosU55() | EthosU85():
            return _ethos(array, work, rows, columns, rate)


def _systolic_depthwise(
    array: WeightStationary | OutputStationary | InputStationary,
    work: MacWork,
    rows: int,
    columns: int,
) -> float:
    """Channels have inputs of their own: weights lie on the diagonal, or channels take turns."""
    ramp = array.rows + array.columns - 2
    if isinstance(array, WeightStationary):
        together = max(1, min(array.columns, array.rows // work.inner))
        tiles = folds(columns, together) * folds(work.inner, array.rows)
        if array.weight_double_buffer:
            return float(tiles * max(rows, array.rows) + ramp)
        return float(tiles * (array.rows + rows + ramp))
    if isinstance(array, OutputStationary):
        return float(columns * folds(rows, array.rows) * (work.inner + ramp))
    tiles = columns * folds(work.inner, array.rows) * folds(rows, array.columns)
    return float(tiles * (array.rows + 1 + ramp))


def _dot_grid(array: DotGrid, work: MacWork, rows: int, columns: int, rate: float) -> float:
    if array.operand_port is not None:
        raise InputError("mac_array.operand_port: the detailed model knows no such port")
    outputs = folds(rows, array.rows) * folds(columns, array.columns)
    depth = array.depth * rate
    if work.depthwise:
        # Nothing to reduce over but the kernel's positions, one after another.
        return outputs * work.inner / min(1.0, depth)
    if depth < 1.0:
        return outputs * work.inner / depth
    return float(outputs * folds(work.inner, int(depth)))


def _direct(array: DirectConvolution, work: MacWork, rows: int, columns: int) -> float:
    """One tap of the kernel after another; each group of a depthwise product for itself."""
    if work.depthwise:
        return float(rows * columns * work.inner)
    channels = max(1, work.inner // work.kernel_positions)
    rounded = folds(channels, array.input_channel_quantum) * array.input_channel_quantum
    taps = work.kernel_positions * folds(rounded, array.rows)
    window = work.window
    if window is not None and window.kernel == (3, 3) and window.strides == (1, 1):
        return rows * taps * folds(columns, array.columns) / array.winograd_speedup.value
    return float(rows * taps * folds(columns, array.columns))


def _ethos(
    array: EthosU55 | EthosU85, work: MacWork, rows: int, columns: int, rate: float
) -> float:
    """Dot products of `depth`, tap after tap; an output unit works behind them."""
    outputs = folds(rows, array.rows) * folds(columns, array.columns * array.engines)
    if work.depthwise:
        reductions = work.inner
    else:
        channels = max(1, work.inner // work.kernel_positions)
        # Few input channels: taps of the kernel fill the depth instead.
        reductions = min(
            work.kernel_positions * folds(channels, array.depth),
            folds(work.inner, array.depth // 2) if channels < array.depth else work.inner,
        )
    written = rows * columns * array.output_cycles.value / array.engines
    biases = columns * array.bias_cycles.value
    return max(outputs * reductions / rate, written) + biases


def pooling_cycles(array: MacArray | None, op: Op, rows: int, columns: int) -> float:
    """Cycles of a pooling that the matrix unit executes; 0 where the vector unit does.

    Args:
        array: the unit.
        op: the op.
        rows: output pixels of one core.
        columns: channels of one core.
    """
    if op.family is not OpFamily.POOLING or op.window is None:
        return 0.0
    if not isinstance(array, EthosU55 | EthosU85):
        return 0.0
    each = array.pooling_cycles if isinstance(array, EthosU55) else 1
    taps = op.window.kernel[0] * op.window.kernel[1]
    outputs = folds(rows, array.rows) * folds(columns, array.columns * array.engines)
    return float(outputs * taps * each)
