"""The ways to execute one op: how the cores share it, and in which order it is tiled.

The engine takes the best variant for the homes that the operands have. `cost/tiling/` says which
loop orders there are.
"""

from dataclasses import dataclass, replace

from accelerator_sim.accelerator import Accelerator
from accelerator_sim.cost.dequantize import shared_dequantize_ops
from accelerator_sim.cost.mac_array import array_cycles
from accelerator_sim.cost.mac_array.ethos_u import (
    Access,
    ethos_u_access,
    ethos_u_pooling_cycles,
)
from accelerator_sim.cost.tiling import loop_orders
from accelerator_sim.cost.tiling.loop_order import LoopOrder, SharedOp, passes_of
from accelerator_sim.mac_array import EthosU55, EthosU85, MacArray
from graph_ir.datatypes import BITS
from graph_ir.errors import InputError
from graph_ir.workload import MacWork, Op, Operand, OpFamily, Role, Split, TensorKind


@dataclass(frozen=True, slots=True)
class Variant:
    """One way to execute an op.

    Attributes:
        split: how the cores share it.
        cores: how many have work; fewer than all where the dimension is short.
        loop_order: of the tiling; `left-held`, `right-held` or `single-pass`.
        passes: how often each operand is read (1 for outputs), in operand order.
        mac_s: time of the matrix unit.
        vector_s: time of the vector unit.
        fill_s: launch overhead.
        left_form: bytes of the left factors as the array reads them over their stored bytes.
        right_form: likewise.
        access: how blocks of output read and write the operands, where the array cuts ops so.
    """

    split: Split
    cores: int
    loop_order: str
    passes: tuple[int, ...]
    mac_s: float
    vector_s: float
    fill_s: float
    left_form: float = 1.0
    right_form: float = 1.0
    access: Access | None = None

    def form(self, role: Role) -> float:
        """Bytes that an operand is moved as over its stored bytes."""
        if role is Role.LEFT:
            return self.left_form
        return self.right_form if role is Role.RIGHT else 1.0

    def repeats(self, role: Role, kind: TensorKind) -> float:
        """How often blocks read an operand, in every one of its passes."""
        if self.access is None or role is Role.OUTPUT:
            return 1.0
        if role is Role.LEFT:
            return self.access.input_passes
        return self.access.weight_passes if kind is TensorKind.WEIGHT else 1.0

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
    mac_s, vector_ops, access = 0.0, float(op.vector_ops + layout_ops), None
    if accelerator.mac_array is None:
        vector_ops += 2.0 * op.macs
    else:
        shares = [core_work(work, split, cores) for work in op.mac_work]
        cycles = sum(array_cycles(accelerator.mac_array, work) for work in shares)
        if isinstance(accelerator.mac_array, EthosU55 | EthosU85):
            access = ethos_u_access(accelerator.mac_array, op)
            pooling = ethos_u_pooling_cycles(accelerator.mac_array, op)
            if pooling > 0.0:
                cycles, vector_ops = pooling, 0.0
            elif op.mac_work:
                # The output unit applies bias and activation; an addend is an operation of its own.
                vector_ops = 0.0
                cycles += _addend_elements(op) / _lanes(op, accelerator, OpFamily.ELEMENTWISE)
        mac_s = cycles / (_mac_rate(op, accelerator.mac_array) * clock_hz)
    vector_ops += shared_dequantize_ops(op, accelerator, split, cores)
    vector_s = vector_ops / (cores * _lanes(op, accelerator) * clock_hz)
    if accelerator.serial_units and mac_s > 0.0:
        # One unit does both: all of it counts as the matrix product's time.
        mac_s, vector_s = mac_s + vector_s, 0.0
    return [
        Variant(
            split,
            cores,
            order.name,
            order.passes,
            mac_s,
            vector_s,
            accelerator.launch_overhead_s.value,
            order.left_form,
            order.right_form,
            access,
        )
        for order in _orders(op, accelerator, split, cores)
    ]


def _addend_elements(op: Op) -> float:
    """Elements that are added to the result of a product; a bias has one for all rows."""
    results = sum(o.traffic_bytes for o in op.operands if o.role is Role.OUTPUT)
    addends = [o.traffic_bytes for o in op.operands if o.role is Role.OTHER]
    if op.rows <= 1:
        return 0.0
    return 8.0 / BITS[op.execution_type] * sum(size for size in addends if size == results)


def _lanes(op: Op, accelerator: Accelerator, family: OpFamily | None = None) -> float:
    lanes = accelerator.vector_unit.lanes.get(op.execution_type)
    if lanes is None:
        known = ", ".join(sorted(accelerator.vector_unit.lanes))
        raise InputError(
            f"op {op.name}: {accelerator.name} has no vector rate for {op.execution_type}; "
            f"it has {known}"
        )
    family_rate = accelerator.vector_unit.family_rate.get((family or op.family).value)
    return lanes.value * (1.0 if family_rate is None else family_rate.value)


def _mac_rate(op: Op, array: MacArray) -> float:
    """Measured speed of the op's family relative to the computed cycles."""
    depthwise = bool(op.mac_work) and all(work.depthwise for work in op.mac_work)
    rate = array.family_rate.get("depthwise" if depthwise else op.family.value)
    return 1.0 if rate is None else rate.value


def _orders(op: Op, accelerator: Accelerator, split: Split, cores: int) -> list[LoopOrder]:
    blocks = isinstance(accelerator.mac_array, EthosU55 | EthosU85)
    if blocks or not op.mac_work or all(work.depthwise for work in op.mac_work):
        return [LoopOrder("single-pass", passes_of(op, 1, 1))]
    left, right = (
        sum(core_share(o, split, cores) for o in op.operands if o.role is role)
        for role in (Role.LEFT, Role.RIGHT)
    )
    work = core_work(op.mac_work[0], split, cores)
    return loop_orders(SharedOp(op, work, left, right), accelerator)
