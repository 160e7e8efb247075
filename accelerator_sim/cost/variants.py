"""The ways to execute one op: how the cores share it, and in which order it is tiled.

The engine takes the best variant for the homes that the operands have. Tiling follows the usual
two loop orders of a matrix product with one operand held in the tile buffer: half of the buffer
holds a tile while the other half fills, and the operand that is not held passes by once per tile.
"""

from dataclasses import dataclass, replace

from accelerator_sim.accelerator import Accelerator
from accelerator_sim.cost.mac_array import array_cycles
from accelerator_sim.mac_array import MacArray
from graph_ir.errors import InputError
from graph_ir.workload import MacWork, Op, Operand, Role, Split


@dataclass(frozen=True, slots=True)
class Variant:
    """One way to execute an op.

    Attributes:
        split: how the cores share it.
        cores: how many have work; fewer than all where the dimension is short.
        loop_order: `left-held`, `right-held` or `single-pass`.
        passes: how often each operand is read (1 for outputs), in operand order.
        mac_s: time of the matrix unit.
        vector_s: time of the vector unit.
        fill_s: launch overhead.
    """

    split: Split
    cores: int
    loop_order: str
    passes: tuple[int, ...]
    mac_s: float
    vector_s: float
    fill_s: float

    @property
    def compute_s(self) -> float:
        """Matrix and vector unit work as a pipeline: the slower one counts."""
        return max(self.mac_s, self.vector_s)


def splits_of(op: Op, cores: int) -> tuple[Split, ...]:
    """The splits that the op allows on this many cores; NONE where there is no other."""
    if cores == 1:
        return (Split.NONE,)
    outputs = [o for o in op.operands if o.role is Role.OUTPUT]
    extents = {Split.ROWS: op.rows, Split.COLUMNS: op.columns}
    allowed = [
        split
        for split, extent in extents.items()
        if extent > 1 and all(split in o.split_by for o in outputs)
    ]
    return tuple(allowed) or (Split.NONE,)


def cores_of(op: Op, split: Split, cores: int) -> int:
    """How many cores have work under a split."""
    if split is Split.NONE:
        return 1
    return max(1, min(cores, op.rows if split is Split.ROWS else op.columns))


def core_share(operand: Operand, split: Split, cores: int) -> int:
    """Bytes of the operand that each of the cores that share the op needs."""
    if split in operand.split_by and cores > 1:
        halo = operand.halo_bytes if split is Split.ROWS else 0
        return min(operand.traffic_bytes, -(-operand.traffic_bytes // cores) + halo)
    return operand.traffic_bytes


def core_work(work: MacWork, split: Split, cores: int) -> MacWork:
    """The products that the busiest of the cores that share the op computes.

    Columns are cut between products first (heads, groups), then within each.
    """
    if split is Split.ROWS:
        return replace(work, rows=-(-work.rows // cores))
    if split is Split.COLUMNS and work.batch >= cores:
        return replace(work, batch=-(-work.batch // cores))
    if split is Split.COLUMNS:
        return replace(work, batch=1, columns=-(-work.columns // (cores // max(1, work.batch))))
    return work


def variants_of(op: Op, accelerator: Accelerator, layout_ops: int = 0) -> tuple[Variant, ...]:
    """All variants of an op that are worth considering.

    Args:
        op: the op.
        accelerator: the target.
        layout_ops: vector operations spent on changing the layout of its inputs.

    Raises:
        InputError: the target has no unit or no rate for what the op computes.
    """
    return tuple(
        variant
        for split in splits_of(op, accelerator.core_count)
        for variant in _variants_of_split(op, accelerator, split, layout_ops)
    )


def _variants_of_split(
    op: Op, accelerator: Accelerator, split: Split, layout_ops: int
) -> list[Variant]:
    cores = cores_of(op, split, accelerator.core_count)
    clock_hz = accelerator.clock_hz.value
    mac_s, vector_ops = 0.0, float(op.vector_ops + layout_ops)
    if accelerator.mac_array is None:
        vector_ops += 2.0 * op.macs
    else:
        shares = [core_work(work, split, cores) for work in op.mac_work]
        cycles = sum(array_cycles(accelerator.mac_array, work) for work in shares)
        mac_s = cycles / (_mac_rate(op, accelerator.mac_array) * clock_hz)
    vector_s = vector_ops / (cores * _lanes(op, accelerator) * clock_hz)
    return [
        Variant(split, cores, order, passes, mac_s, vector_s, accelerator.launch_overhead_s.value)
        for order, passes in _loop_orders(op, accelerator, split, cores)
    ]


def _lanes(op: Op, accelerator: Accelerator) -> float:
    lanes = accelerator.vector_unit.lanes.get(op.execution_type)
    if lanes is None:
        known = ", ".join(sorted(accelerator.vector_unit.lanes))
        raise InputError(
            f"op {op.name}: {accelerator.name} has no vector rate for {op.execution_type}; "
            f"it has {known}"
        )
    family_rate = accelerator.vector_unit.family_rate.get(op.family.value)
    return lanes.value * (1.0 if family_rate is None else family_rate.value)


def _mac_rate(op: Op, array: MacArray) -> float:
    """Measured speed of the op's family relative to the computed cycles."""
    depthwise = bool(op.mac_work) and all(work.depthwise for work in op.mac_work)
    rate = array.family_rate.get("depthwise" if depthwise else op.family.value)
    return 1.0 if rate is None else rate.value


def _loop_orders(
    op: Op, accelerator: Accelerator, split: Split, cores: int
) -> list[tuple[str, tuple[int, ...]]]:
    ones = tuple(1 for _ in op.operands)
    if not op.mac_work or all(work.depthwise for work in op.mac_work):
        return [("single-pass", ones)]
    products = max(1, core_work(op.mac_work[0], split, cores).batch)
    half_buffer = accelerator.tile_buffer_bytes.value / 2
    held = {
        role: sum(core_share(o, split, cores) for o in op.operands if o.role is role) / products
        for role in (Role.LEFT, Role.RIGHT)
    }
    left_tiles = max(1, int(-(-held[Role.LEFT] // half_buffer)))
    right_tiles = max(1, int(-(-held[Role.RIGHT] // half_buffer)))
    if left_tiles == 1 or right_tiles == 1:
        return [("single-pass", ones)]

    def passes(role: Role, count: int) -> tuple[int, ...]:
        return tuple(count if o.role is role else 1 for o in op.operands)

    return [
        ("left-held", passes(Role.RIGHT, left_tiles)),
        ("right-held", passes(Role.LEFT, right_tiles)),
    ]
