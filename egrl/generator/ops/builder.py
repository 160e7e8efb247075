"""The workload under construction: tensors in order of first appearance, lifetimes that grow.

Follows `graph_ir.lowered_op`, so that a generated op has the fields of a lowered one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from graph_ir.datatypes import BITS, stored_bytes
from graph_ir.op_rules.facts import BOTH, SplitSpace
from graph_ir.workload import (
    MacWork,
    Op,
    Operand,
    OpFamily,
    Role,
    Split,
    Tensor,
    TensorKind,
    Window,
    Workload,
)


@dataclass(slots=True, eq=False)
class Value:
    """A tensor to be: it gets an index when an op first reads or writes it.

    Attributes:
        name: unique in the workload.
        kind: an activation that leaves the model becomes `IO` at the end.
        shape: extents.
        data_type: execution type.
        index: in the workload, -1 before its first appearance.
        start: first op at which it is live.
        end: one past the last.
    """

    name: str
    kind: TensorKind
    shape: tuple[int, ...]
    data_type: str
    index: int = -1
    start: int = 0
    end: int = 0

    @property
    def elements(self) -> int:
        """Number of elements."""
        return prod(self.shape)


@dataclass(frozen=True, slots=True)
class Reads:
    """How an op reads a value.

    Attributes:
        value: what is read.
        role: see `Role`.
        split_by: see `Operand`; by default what broadcasting against the op's space says.
        halo_elements: elements more per core boundary when split by rows.
        elements: that are touched, where not all are.
    """

    value: Value
    role: Role = Role.OTHER
    split_by: tuple[Split, ...] | None = None
    halo_elements: int = 0
    elements: int | None = None


class WorkloadBuilder:
    """Ops are appended in execution order; `finish` closes the lifetimes.

    Attributes:
        name: of the workload.
        execution_type: of values and arithmetic.
    """

    def __init__(self, name: str, execution_type: str) -> None:
        self.name = name
        self.execution_type = execution_type
        self._values: list[Value] = []
        self._ops: list[Op] = []

    @property
    def op_count(self) -> int:
        """Ops so far."""
        return len(self._ops)

    def input(self, name: str, shape: tuple[int, ...], data_type: str | None = None) -> Value:
        """A model input."""
        return Value(name, TensorKind.IO, shape, data_type or self.execution_type)

    def weight(self, name: str, shape: tuple[int, ...], data_type: str | None = None) -> Value:
        """A constant; two ops that are given the same one share it."""
        return Value(name, TensorKind.WEIGHT, shape, data_type or self.execution_type)

    def state(self, name: str, shape: tuple[int, ...]) -> Value:
        """What persists between inferences."""
        return Value(name, TensorKind.STATE, shape, self.execution_type)

    def add(
        self,
        name: str,
        family: OpFamily,
        reads: Sequence[Reads],
        shape: tuple[int, ...],
        space: SplitSpace,
        layout: str,
        vector_ops: int,
        mac_work: tuple[MacWork, ...] = (),
        scratch_bytes: int = 0,
        window: Window | None = None,
        data_type: str | None = None,
        writes: Value | None = None,
        written_elements: int | None = None,
    ) -> Value:
        """Append an op and return what it writes.

        Args:
            name: unique; its value has the same name.
            family: of the op.
            reads: in order of first use.
            shape: of the result.
            space: what the cores divide.
            layout: "mac", "vector" or "linear".
            vector_ops: epilogues included.
            mac_work: matrix products.
            scratch_bytes: working buffer.
            window: of a pooling.
            data_type: of the result where it is not the execution type.
            writes: an existing value (a state) that is written in place.
            written_elements: of it.
        """
        at = len(self._ops)
        operands = self._reads(reads, space, at)
        if scratch_bytes:
            buffer = Value(f"{name}:scratch", TensorKind.SCRATCH, (scratch_bytes,), "int8")
            operands.append(
                Operand(self._touch(buffer, at), Role.SCRATCH, scratch_bytes, space.present(BOTH))
            )
        result = writes
        if result is None:
            result = Value(name, TensorKind.ACTIVATION, shape, data_type or self.execution_type)
        moved = result.elements if written_elements is None else written_elements
        operands.append(
            Operand(
                self._touch(result, at),
                Role.OUTPUT,
                (moved * BITS[result.data_type] + 7) // 8,
                space.splits(shape),
            )
        )
        self._ops.append(
            Op(
                name=name,
                family=family,
                nodes=(name,),
                operands=tuple(operands),
                mac_work=mac_work,
                vector_ops=vector_ops,
                rows=space.rows,
                columns=space.columns,
                layout=layout,
                execution_type=mac_work[0].left_type if mac_work else self.execution_type,
                window=window,
            )
        )
        return result

    def finish(self, outputs: Sequence[Value]) -> Workload:
        """The workload whose results are `outputs`; what nothing reads is a result, too."""
        count = len(self._ops)
        left = {value.index for value in outputs}
        tensors = tuple(self._tensor(value, value.index in left, count) for value in self._values)
        return Workload(self.name, self.execution_type, tuple(self._ops), tensors)

    def _reads(self, reads: Sequence[Reads], space: SplitSpace, at: int) -> list[Operand]:
        """One operand for each tensor and role, its traffic summed."""
        merged: dict[tuple[int, Role], Operand] = {}
        for read in reads:
            value = read.value
            index = self._touch(value, at)
            bits = BITS[value.data_type]
            size = (value.elements * bits + 7) // 8
            touched = value.elements if read.elements is None else read.elements
            traffic = min(size, (touched * bits + 7) // 8)
            halo = (read.halo_elements * bits + 7) // 8
            splits = space.splits(value.shape) if read.split_by is None else read.split_by
            known = merged.get((index, read.role))
            if known is not None:
                traffic = min(size, traffic + known.traffic_bytes)
                halo = max(halo, known.halo_bytes)
                splits = tuple(split for split in known.split_by if split in splits)
            merged[(index, read.role)] = Operand(index, read.role, traffic, splits, halo)
        return list(merged.values())

    def _touch(self, value: Value, at: int) -> int:
        if value.index < 0:
            value.index = len(self._values)
            self._values.append(value)
            produced = value.kind in (TensorKind.ACTIVATION, TensorKind.SCRATCH)
            value.start = at if produced else 0
        value.end = at + 1
        return value.index

    def _tensor(self, value: Value, leaves: bool, count: int) -> Tensor:
        unread = value.kind is TensorKind.ACTIVATION and value.end == value.start + 1
        kind = TensorKind.IO if leaves or unread else value.kind
        lasting = leaves or unread or kind in (TensorKind.WEIGHT, TensorKind.STATE)
        channels = 0
        if kind not in (TensorKind.WEIGHT, TensorKind.SCRATCH) and value.shape:
            channels = value.shape[1] if len(value.shape) >= 4 else value.shape[-1]
        return Tensor(
            value.name,
            kind,
            value.shape,
            value.data_type,
            stored_bytes(value.shape, value.data_type),
            value.start,
            count if lasting else value.end,
            channels=channels,
        )
