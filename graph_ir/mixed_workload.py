"""A workload put together from workloads of the same ops, of which each op picks one.

Lowering is the slow part of trying a precision; a model is lowered once for each precision, and
what mixes them is put together from those.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from graph_ir.workload import Op, Operand, Tensor, TensorKind, Workload


@dataclass(frozen=True, slots=True)
class WorkloadChoices:
    """The same ops in the same order, lowered in several precisions.

    Attributes:
        workloads: one for each precision; tensors of the same name are the same but for what
            depends on the precision of the ops that use them.
    """

    workloads: tuple[Workload, ...]

    def __post_init__(self) -> None:
        """Check that they can be mixed."""
        names = [op.name for op in self.workloads[0].ops]
        for workload in self.workloads:
            assert [op.name for op in workload.ops] == names, workload.name

    @property
    def op_names(self) -> tuple[str, ...]:
        """Of every one of them."""
        return tuple(op.name for op in self.workloads[0].ops)

    def mixed(self, choice_N: Sequence[int]) -> Workload:
        """The workload in which op i is that of workload `choice_N[i]`.

        Equal to lowering a model whose ops have those precisions.
        """
        first = self.workloads[0]
        table = _Table(len(first.ops))
        ops = tuple(table.op(self.workloads[choice], at) for at, choice in enumerate(choice_N))
        return replace(first, ops=ops, tensors=tuple(table.tensors))


@dataclass(slots=True)
class _Table:
    """Tensors in order of first use, with the lifetimes of a lowering."""

    op_count: int
    tensors: list[Tensor] = field(default_factory=list)
    index: dict[str, int] = field(default_factory=dict)

    def op(self, workload: Workload, at: int) -> Op:
        """The op, its operands pointing into this table."""
        op = workload.ops[at]
        operands = tuple(
            replace(operand, tensor=self._entry(workload.tensors[operand.tensor], operand, at))
            for operand in op.operands
        )
        return replace(op, operands=operands)

    def _entry(self, tensor: Tensor, operand: Operand, at: int) -> int:
        known = self.index.get(tensor.name)
        if known is None:
            known = self.index[tensor.name] = len(self.tensors)
            end = tensor.end if tensor.end == self.op_count else at + 1
            self.tensors.append(replace(tensor, end=end))
        elif self.tensors[known].kind is not TensorKind.WEIGHT:
            end = max(self.tensors[known].end, at + 1)
            self.tensors[known] = replace(self.tensors[known], end=end)
        return known
