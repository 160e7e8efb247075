"""The ops of a workload as the detailed model's compiler sees them: everything but the homes."""

from dataclasses import dataclass
from math import prod

from accelerator_sim.accelerator import Accelerator
from graph_ir.workload import Op, Tensor, TensorKind, Workload


@dataclass(frozen=True, slots=True)
class OpCase:
    """An op as the compiler sees it: everything but the homes.

    Attributes:
        op: the op.
        kinds: of its operands' tensors.
        ratios: stored bytes over packed bytes of its operands.
        layout_ops: vector operations that changing the layout of its inputs takes.
    """

    op: Op
    kinds: tuple[TensorKind, ...]
    ratios: tuple[float, ...]
    layout_ops: float

    @property
    def signature(self) -> tuple[object, ...]:
        """Equal for ops that get equal programs."""
        op = self.op
        return (
            op.family, op.mac_work, op.vector_ops, op.rows, op.columns, op.execution_type,
            op.dequantize_ops,
            tuple(
                (o.role, o.traffic_bytes, o.split_by, o.halo_bytes, o.fresh) for o in op.operands
            ),
            self.kinds, self.ratios, self.layout_ops,
        )  # fmt: skip


def cases_of(workload: Workload, accelerator: Accelerator) -> list[OpCase]:
    """The ops of a workload, layout rounding and layout exchange resolved."""
    written_as: dict[int, str] = {}
    for op in workload.ops:
        for operand in op.operands:
            kind = workload.tensors[operand.tensor].kind
            if operand.is_write and kind is TensorKind.ACTIVATION:
                written_as[operand.tensor] = op.layout
    cases = []
    for op in workload.ops:
        tensors = [workload.tensors[operand.tensor] for operand in op.operands]
        exchanged = 0
        if accelerator.layout_exchange:
            exchanged = sum(
                prod(tensor.shape)
                for operand, tensor in zip(op.operands, tensors, strict=True)
                if not operand.is_write and written_as.get(operand.tensor, op.layout) != op.layout
            )
        cases.append(
            OpCase(
                op,
                tuple(tensor.kind for tensor in tensors),
                tuple(_stored_ratio(tensor, accelerator.layout_channels) for tensor in tensors),
                float(exchanged),
            )
        )
    return cases


def _stored_ratio(tensor: Tensor, quantum: int) -> float:
    if tensor.kind is TensorKind.WEIGHT or tensor.channels <= 0:
        return 1.0
    return -(-tensor.channels // quantum) * quantum / tensor.channels
