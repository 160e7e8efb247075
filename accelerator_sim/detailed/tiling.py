"""The order in which one core works through its part of an op, tile by tile.

A tile of outputs needs tiles of its factors. Half of the tile buffer holds either a block of one
factor, while the other factor passes by in chunks of a quarter, two of which fit; or a block of
sums, while both factors pass by in pieces of the reduction. Where there are several blocks, what
passes by does so once for each.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from accelerator_sim.accelerator import Accelerator
from accelerator_sim.detailed.array_tiles import folds, pooling_cycles, tile_cycles
from accelerator_sim.detailed.parameters import DetailedParameters
from accelerator_sim.detailed.sharing import Sharing
from accelerator_sim.mac_array import DotGrid, MacArray
from graph_ir.errors import InputError
from graph_ir.workload import MacWork, Op, Split

F64 = NDArray[np.float64]

SUM_BYTES = 4
"""Of a sum while it is accumulated: 32 bits in all the arrays of the targets."""

MANY_PRODUCTS = 64
"""Products (heads, groups) beyond this are cut between them, never within."""


@dataclass(frozen=True, slots=True)
class Step:
    """A tile, or some tiles in a row.

    Attributes:
        left: share of the LEFT operands that is read.
        right: share of the RIGHT operands that is read.
        work: share of the op's outputs, with what goes with them, that is computed and written.
        mac_cycles: of the matrix unit.
    """

    left: float
    right: float
    work: float
    mac_cycles: float


@dataclass(frozen=True, slots=True)
class Tiling:
    """One way to execute an op.

    Attributes:
        sharing: between the cores.
        steps: of the busiest core, in order.
        vector_cycles: of the whole op on the busiest core.
    """

    sharing: Sharing
    steps: tuple[Step, ...]
    vector_cycles: float


@dataclass(frozen=True, slots=True, eq=False)
class TilingArrays:
    """A tiling as the estimate reads it.

    Attributes:
        tiling: the same in words.
        share_RS: of LEFT, RIGHT and all other operands that each step moves.
        mac_S: seconds of the matrix unit.
        vector_S: seconds of the vector unit.
    """

    tiling: Tiling
    share_RS: F64
    mac_S: F64
    vector_S: F64


def arrays_of(tiling: Tiling, accelerator: Accelerator) -> TilingArrays:
    """A tiling as arrays; where the units take turns, their times are one."""
    clock_hz = accelerator.clock_hz.value
    share_RS = np.array(
        [
            [step.left for step in tiling.steps],
            [step.right for step in tiling.steps],
            [step.work for step in tiling.steps],
        ]
    )
    mac_S = np.array([step.mac_cycles for step in tiling.steps]) / clock_hz
    vector_S = share_RS[2] * (tiling.vector_cycles / clock_hz)
    if accelerator.serial_units:
        mac_S, vector_S = mac_S + vector_S, np.zeros_like(vector_S)
    return TilingArrays(tiling, share_RS, mac_S, vector_S)


def tilings_of(
    op: Op,
    sharing: Sharing,
    core_bytes: tuple[float, float, float],
    layout_ops: float,
    accelerator: Accelerator,
    parameters: DetailedParameters,
) -> list[Tiling]:
    """The ways worth considering.

    Args:
        op: the op.
        sharing: between the cores.
        core_bytes: that the busiest core reads as LEFT and as RIGHT, and all that it moves.
        layout_ops: vector operations that changing the layout of inputs takes, on all cores.
        accelerator: the target.
        parameters: of the model.

    Raises:
        InputError: the target has no rate for the op's types.
    """
    array = accelerator.mac_array
    vector_ops = float(op.vector_ops + layout_ops)
    if array is None:
        vector_ops += 2.0 * op.macs
    pooled = _pooled(op, sharing, array)
    if pooled > 0.0:
        vector_ops = 0.0
    if accelerator.dequantize.unit == "vector" or array is None:
        # Cores that share rows widen the whole weight each.
        copies = sharing.active if sharing.split is Split.ROWS else 1
        vector_ops += op.dequantize_ops * copies
    vector = _vector_cycles(op, vector_ops / sharing.active, accelerator)
    buffer = accelerator.tile_buffer_bytes.value
    return [
        Tiling(sharing, _merge(steps, parameters.max_steps), vector)
        for fineness in parameters.granularities
        for steps in _sequences(op, sharing, core_bytes, array, buffer, fineness, pooled)
    ]


def _vector_cycles(op: Op, operations: float, accelerator: Accelerator) -> float:
    unit = accelerator.vector_unit
    if op.execution_type not in unit.lanes:
        known = ", ".join(sorted(unit.lanes))
        raise InputError(
            f"op {op.name}: {accelerator.name} has no vector rate for {op.execution_type}; "
            f"it has {known}"
        )
    speed = unit.lanes[op.execution_type].value
    if op.family.value in unit.family_rate:
        speed *= unit.family_rate[op.family.value].value
    return operations / speed


def _sequences(
    op: Op,
    sharing: Sharing,
    core_bytes: tuple[float, float, float],
    array: MacArray | None,
    buffer: float,
    fineness: int,
    pooled: float,
) -> list[list[Step]]:
    works = sharing.works
    if not works or array is None:
        return [_stream(core_bytes[2], pooled, buffer, fineness)]
    slowdown = 1.0 / _measured_rate(op, array)
    whole = slowdown * sum(_whole_cycles(array, work) for work in works)
    first = works[0]
    if first.depthwise or first.batch > MANY_PRODUCTS:
        return [_stream(core_bytes[2], whole, buffer, fineness)]
    left, right = core_bytes[0] / first.batch, core_bytes[1] / first.batch
    sequences = [_sums_held(array, first, left, right, buffer, fineness)]
    for held, passing, right_held in ((right, left, True), (left, right, False)):
        steps = _factor_held(array, first, held, passing, right_held, buffer, fineness)
        if steps is not None:
            sequences.append(steps)
    return [_repeat(steps, first.batch, whole) for steps in sequences]


def _pooled(op: Op, sharing: Sharing, array: MacArray | None) -> float:
    """Cycles of the matrix unit for a pooling, on the busiest core."""
    rows, columns = op.rows, op.columns
    if sharing.split is Split.ROWS:
        rows = folds(rows, sharing.active)
    elif sharing.split is Split.COLUMNS:
        columns = folds(columns, sharing.active)
    return pooling_cycles(array, op, rows, columns)


def _measured_rate(op: Op, array: MacArray) -> float:
    depthwise = bool(op.mac_work) and all(work.depthwise for work in op.mac_work)
    family = "depthwise" if depthwise else op.family.value
    return array.family_rate[family].value if family in array.family_rate else 1.0


def _whole_cycles(array: MacArray, work: MacWork) -> float:
    if work.depthwise:
        return tile_cycles(array, work, work.rows, work.batch * work.columns)
    return work.batch * tile_cycles(array, work, work.rows, work.columns)


def _stream(moved: float, cycles: float, buffer: float, fineness: int) -> list[Step]:
    """Equal tiles of which two fit the buffer."""
    count = max(fineness, folds(max(1, int(moved)), max(1, int(buffer / 2))))
    return [Step(1 / count, 1 / count, 1 / count, cycles / count)] * count


def _quanta(array: MacArray) -> tuple[int, int]:
    """Rows and columns of outputs that fill the unit once."""
    if isinstance(array, DotGrid):
        return array.rows, array.columns
    # A systolic array holds weights (columns), or inputs or sums (rows), for a whole fold.
    return array.columns, array.columns


def _factor_held(
    array: MacArray,
    work: MacWork,
    held: float,
    passing: float,
    right_held: bool,
    buffer: float,
    fineness: int,
) -> list[Step] | None:
    """Tiles of one product with a block of one factor held; None where not even one tile fits."""
    held_quantum, passing_quantum = _quanta(array)
    held_extent, passing_extent = work.rows, work.columns
    if right_held:
        held_extent, passing_extent = passing_extent, held_extent
        held_quantum, passing_quantum = passing_quantum, held_quantum
    blocks = folds(max(1, int(held)), max(1, int(buffer / 2)))
    chunks = max(fineness, folds(max(1, int(passing)), max(1, int(buffer / 4))))
    cut_blocks = _cut(held_extent, blocks, held_quantum)
    cut_chunks = _cut(passing_extent, chunks, passing_quantum)
    if held * cut_blocks[0] > held_extent * buffer / 2:
        return None
    if passing * cut_chunks[0] > passing_extent * buffer / 2:
        return None
    steps = []
    for block in cut_blocks:
        for chunk_index, chunk in enumerate(cut_chunks):
            # The first chunk meets the block while it arrives, part by part.
            parts = _cut(block, fineness, held_quantum) if chunk_index == 0 else [block]
            for part_index, part in enumerate(parts):
                held_share = part / held_extent if chunk_index == 0 else 0.0
                passing_share = chunk / passing_extent if part_index == 0 else 0.0
                rows, columns = (chunk, part) if right_held else (part, chunk)
                steps.append(
                    Step(
                        left=passing_share if right_held else held_share,
                        right=held_share if right_held else passing_share,
                        work=rows * columns / (work.rows * work.columns),
                        mac_cycles=tile_cycles(array, work, rows, columns),
                    )
                )
    return steps


def _sums_held(
    array: MacArray, work: MacWork, left: float, right: float, buffer: float, fineness: int
) -> list[Step]:
    """Tiles of one product with a block of sums held, cut so that least passes by."""
    row_quantum, column_quantum = _quanta(array)
    most = max(row_quantum * column_quantum, int(buffer / 2 / SUM_BYTES))
    best: tuple[float, int, int] | None = None
    cuts = 1
    while True:
        # So many blocks of rows, and as few of columns as the sums allow.
        rows = _cut(work.rows, cuts, row_quantum)[0]
        columns = max(column_quantum, most // rows // column_quantum * column_quantum)
        columns = min(columns, work.columns)
        passing = left * folds(work.columns, columns) + right * folds(work.rows, rows)
        if rows * columns <= most and (best is None or passing < best[0]):
            best = (passing, rows, columns)
        if rows <= row_quantum:
            break
        cuts *= 2
    _, rows, columns = best or (0.0, row_quantum, column_quantum)
    pieces = max(fineness, folds(max(1, int(_tile_bytes(work, left, right, rows, columns))),
                                 max(1, int(buffer / 4))))  # fmt: skip
    steps = []
    for row_start in range(0, work.rows, rows):
        tile_rows = min(rows, work.rows - row_start)
        for column_start in range(0, work.columns, columns):
            tile_columns = min(columns, work.columns - column_start)
            cycles = tile_cycles(array, work, tile_rows, tile_columns)
            share = tile_rows * tile_columns / (work.rows * work.columns)
            count = min(pieces, work.inner)
            steps += [
                Step(
                    left=tile_rows / work.rows / count,
                    right=tile_columns / work.columns / count,
                    work=share if piece == count - 1 else 0.0,
                    mac_cycles=cycles / count,
                )
                for piece in range(count)
            ]
    return steps


def _tile_bytes(work: MacWork, left: float, right: float, rows: int, columns: int) -> float:
    """Bytes of both factors that one block of sums needs."""
    return left * rows / work.rows + right * columns / work.columns


def _cut(extent: int, parts: int, quantum: int) -> list[int]:
    """At most `parts` pieces, all but the last a multiple of the quantum."""
    piece = folds(folds(extent, parts), quantum) * quantum
    return [min(piece, extent - start) for start in range(0, extent, piece)]


def _repeat(steps: list[Step], batch: int, whole: float) -> list[Step]:
    """The same tiles for every product of a batch; what other products of the op take is added.

    Cutting never makes the first product cheaper; what it makes dearer stays.
    """
    counted = batch * sum(step.mac_cycles for step in steps)
    stretch = max(whole, counted) / counted
    return [
        Step(s.left / batch, s.right / batch, s.work / batch, s.mac_cycles * stretch) for s in steps
    ] * batch


def _merge(steps: list[Step], most: int) -> tuple[Step, ...]:
    """At most `most` steps; the first and the last stay as they are."""
    if len(steps) <= most:
        return tuple(steps)
    inner = steps[1:-1]
    groups = most - 2
    bounds = [len(inner) * g // groups for g in range(groups + 1)]
    merged = [steps[0]]
    for start, end in pairwise(bounds):
        part = inner[start:end]
        merged.append(
            Step(
                sum(s.left for s in part),
                sum(s.right for s in part),
                sum(s.work for s in part),
                sum(s.mac_cycles for s in part),
            )
        )
    return (*merged, steps[-1])
