"""Price tables of ops as points of a convex hull, over the tensors that are worth deciding."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from accelerator_sim.kernel import CORE, FILL, LATE_LATENCY, OWN
from accelerator_sim.problem import PlacementProblem

NEGLIGIBLE_SHARE = 1e-3
"""Tensors are left undecided, least effect first, while their effects sum to less of the floor."""

MAX_COMBINATIONS = 256
"""An op with more is priced over its most telling tensors only."""


@dataclass(frozen=True, slots=True)
class OpHull:
    """The price table of one op over the tensors that the program decides.

    Attributes:
        tensors: the decided ones.
        homes_CJ: home of each of them in each combination.
        early_C: duration without streams, fill included.
        fill_C: launch overhead and latency.
        own_CL: busy seconds of the tiers.
        stream_CL: stream seconds from each tier.
        density_CL: ring bytes that a second of stream takes up, 0 without a stream.
    """

    tensors: tuple[int, ...]
    homes_CJ: NDArray[np.int64]
    early_C: NDArray[np.float64]
    fill_C: NDArray[np.float64]
    own_CL: NDArray[np.float64]
    stream_CL: NDArray[np.float64]
    density_CL: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class OpTable:
    """Records of one op on the grid of its free tensors' allowed homes.

    Attributes:
        complete: False where the op has too many operands, and this is its least record only.
        tensors: an axis of the grid each.
        homes: allowed homes along each axis.
        early: duration without streams.
        late: duration with all streams late.
        fill: launch overhead and latency.
        own: busy seconds of the tiers (last axis).
        stream: stream seconds from each tier (last axis).
        ring: bytes of the ring that the stream takes up (last axis).
    """

    complete: bool
    tensors: tuple[int, ...]
    homes: tuple[NDArray[np.int64], ...]
    early: NDArray[np.float64]
    late: NDArray[np.float64]
    fill: NDArray[np.float64]
    own: NDArray[np.float64]
    stream: NDArray[np.float64]
    ring: NDArray[np.float64]


def op_hulls(problem: PlacementProblem) -> list[OpHull]:
    """A hull per op; undecided tensors take whatever home is best for each quantity."""
    tables = [op_table(problem, op) for op in range(problem.op_count)]
    undecided = undecided_tensors(problem, tables)
    return [project(problem, table, undecided) for table in tables]


def undecided_tensors(problem: PlacementProblem, tables: list["OpTable"]) -> frozenset[int]:
    """The tensors whose homes hardly matter, all of them together."""
    effects = np.zeros(problem.tensor_count)
    for table in tables:
        for tensor, seconds in zip(table.tensors, _effects(table), strict=True):
            effects[tensor] += seconds
    allowance = NEGLIGIBLE_SHARE * floor_seconds(problem)
    undecided: set[int] = set()
    for tensor in sorted(problem.free_tensors.tolist(), key=lambda t: (effects[t], t)):
        if effects[tensor] > allowance:
            break
        allowance -= effects[tensor]
        undecided.add(tensor)
    return frozenset(undecided)


def floor_seconds(problem: PlacementProblem) -> float:
    """`ideal`: every op with the best home for each operand, capacity and streams aside."""
    arrays = problem.arrays
    known: dict[tuple[int, bytes], float] = {}
    total = 0.0
    for op in range(problem.op_count):
        rows = slice(int(arrays.row_start_N[op]), int(arrays.row_start_N[op + 1]))
        allowed = problem.allowed_TH[arrays.row_tensor_E[rows]].tobytes()
        key = int(arrays.first_record_N[op]), allowed
        if key[0] < 0:
            total += float(op_table(problem, op).early)
            continue
        if key not in known:
            known[key] = float(op_table(problem, op).early.min())
        total += known[key]
    return total


def op_table(problem: PlacementProblem, op: int) -> OpTable:
    """The records of one op for every combination of its free tensors' homes."""
    arrays = problem.arrays
    tiers = len(arrays.capacity_bytes_L)
    rows = range(int(arrays.row_start_N[op]), int(arrays.row_start_N[op + 1]))
    step_of: dict[int, int] = {}
    for row in rows:
        if arrays.radix_E[row] > 0:
            tensor = int(arrays.row_tensor_E[row])
            step_of[tensor] = step_of.get(tensor, 0) + int(arrays.radix_E[row])
    first = int(arrays.first_record_N[op])
    if first < 0:
        return _floor_table(problem, op)
    tensors = tuple(step_of)
    homes = tuple(np.flatnonzero(problem.allowed_TH[t]) for t in tensors)
    shape = tuple(len(h) for h in homes)
    index = np.full(shape, first, np.int64)
    for axis, (tensor, allowed) in enumerate(zip(tensors, homes, strict=True)):
        along = [1] * len(shape)
        along[axis] = -1
        index = index + (allowed * step_of[tensor]).reshape(along)
    records = arrays.table_QF[index]
    resources = arrays.cost_CK.shape[1]
    own = records[..., OWN : OWN + tiers]
    stream = records[..., OWN + resources : OWN + resources + tiers]
    ring = records[..., OWN + resources + tiers :]
    core = records[..., CORE]
    fill = records[..., FILL]
    late = np.maximum(core, (own + stream).max(axis=-1)) + records[..., LATE_LATENCY]
    return OpTable(True, tensors, homes, core + fill, late + fill, fill, own, stream, ring)


def _floor_table(problem: PlacementProblem, op: int) -> OpTable:
    """An op with too many operands for a table: its least time, whatever the homes."""
    arrays = problem.arrays
    tiers = len(arrays.capacity_bytes_L)
    homes = len(problem.homes)
    rows = range(int(arrays.row_start_N[op]), int(arrays.row_start_N[op + 1]))
    first = int(arrays.variant_start_N[op])
    seconds, least_own = [], []
    for v in range(int(arrays.variant_start_N[op + 1]) - first):
        own_K = np.zeros(arrays.cost_CK.shape[1])
        for row in rows:
            cell = int(arrays.row_cell_E[row]) + v * homes
            allowed = problem.allowed_TH[arrays.row_tensor_E[row]]
            own_K += arrays.cost_CK[cell : cell + homes][allowed].min(axis=0)
        seconds.append(max(float(arrays.compute_V[first + v]), float(own_K.max(initial=0.0))))
        least_own.append(own_K[:tiers])
    fill = float(arrays.fill_V[first : first + len(seconds)].min())
    zeros = np.zeros(tiers)
    own = np.min(least_own, axis=0)
    early = np.array(min(seconds) + fill)
    return OpTable(False, (), (), early, early, np.array(fill), own, zeros, zeros)


def _effects(table: OpTable) -> list[float]:
    """Seconds by which each tensor's home alone can change the op, at most."""
    return [
        float((table.late.max(axis=axis) - table.late.min(axis=axis)).max())
        for axis in range(len(table.tensors))
    ]


def project(problem: PlacementProblem, table: OpTable, undecided: frozenset[int]) -> OpHull:
    """The hull of one op's table over the tensors that are decided."""
    effects = _effects(table)
    kept = [axis for axis, tensor in enumerate(table.tensors) if tensor not in undecided]
    kept.sort(key=lambda axis: (-effects[axis], axis))
    while kept and np.prod([len(table.homes[axis]) for axis in kept]) > MAX_COMBINATIONS:
        kept.pop()
    kept.sort()
    dropped = tuple(axis for axis in range(len(table.tensors)) if axis not in kept)
    tiers = len(problem.arrays.capacity_bytes_L)
    grids = np.meshgrid(*(table.homes[axis] for axis in kept), indexing="ij")
    count = int(np.prod([len(table.homes[axis]) for axis in kept], initial=1))
    # Numbers that differ in the last bits only are one density.
    density = np.full(table.stream.shape, np.inf)
    np.divide(table.ring, table.stream, out=density, where=table.stream > 0)
    density = np.floor(density.min(axis=dropped).reshape(count, tiers))
    return OpHull(
        tensors=tuple(table.tensors[axis] for axis in kept),
        homes_CJ=np.stack([g.reshape(-1) for g in grids], axis=1)
        if kept
        else np.zeros((1, 0), np.int64),
        early_C=table.early.min(axis=dropped).reshape(count),
        fill_C=table.fill.min(axis=dropped).reshape(count),
        own_CL=table.own.min(axis=dropped).reshape(count, tiers),
        stream_CL=table.stream.min(axis=dropped).reshape(count, tiers),
        density_CL=np.where(np.isfinite(density), density, 0.0),
    )
