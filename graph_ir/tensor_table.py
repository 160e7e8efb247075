"""The table of tensors that lowering fills op by op."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import onnx_ir as ir

from graph_ir.datatypes import BITS, stored_bytes
from graph_ir.errors import InputError
from graph_ir.onnx_values import data_type_of, is_constant, shape_of, value_name
from graph_ir.stored_types import SCALE_TYPES, stored_type
from graph_ir.workload import Tensor, TensorKind


@dataclass(slots=True)
class _Entry:
    name: str
    kind: TensorKind
    shape: tuple[int, ...]
    data_type: str
    size_bytes: int
    start: int
    end: int
    channels: int
    written_as: str = ""


_NO_STATES: Mapping[ir.Value, ir.Value] = MappingProxyType({})


class TensorTable:
    """Tensors in order of first appearance, their lifetimes growing as ops are added.

    Attributes:
        execution_type: what floats are stored and computed in.
        op_count: of the workload.
        states: the value that holds a state when the inference begins, by the value that holds it
            when it ends.
        context: positions that are filled when the inference begins; all that there is room for
            where None.
    """

    def __init__(
        self,
        execution_type: str,
        op_count: int,
        states: Mapping[ir.Value, ir.Value] = _NO_STATES,
        context: int | None = None,
    ) -> None:
        self.execution_type = execution_type
        self.op_count = op_count
        self.states = states
        self.context = context
        self._after = {before: after for after, before in states.items()}
        self._written: dict[ir.Value, int] = {}
        self._entries: list[_Entry] = []
        self._index: dict[ir.Value, int] = {}
        self._types: dict[ir.Value, str] = {}

    def type_of(self, value: ir.Value) -> str:
        """The type in which a value is stored."""
        if value not in self._types:
            stored = stored_type(value, self.execution_type)
            kept = SCALE_TYPES.get(data_type_of(value), stored)
            is_state = value in self.states or value in self._after
            # A cache that the model keeps in half precision stays so.
            self._types[value] = kept if is_state and BITS[kept] < BITS[stored] else stored
        return self._types[value]

    def read(self, value: ir.Value, at: int) -> int:
        """The tensor of a value that op `at` reads.

        Raises:
            InputError: it is a state that an earlier op has overwritten.
        """
        if value in self.states:
            return self._index[self.states[value]]
        if value in self._after:
            if self._written.get(value, at) < at:
                raise InputError(
                    f"state {value_name(value)}: expected that nothing reads it after "
                    f"{value_name(self._after[value])} was written in its place"
                )
            return self._state(value)
        index = self._index.get(value)
        if index is None:
            weight = is_constant(value)
            if not weight and not value.is_graph_input():
                raise AssertionError(f"op {at} reads {value_name(value)} before it is written")
            index = self._add(
                value,
                TensorKind.WEIGHT if weight else TensorKind.IO,
                0,
                self.op_count if weight or value.is_graph_output() else at + 1,
            )
        entry = self._entries[index]
        entry.end = max(entry.end, at + 1)
        return index

    def write(self, value: ir.Value, at: int) -> int:
        """The tensor of a value that op `at` writes."""
        before = self.states.get(value)
        if before is not None:
            self._written[before] = at
            return self._state(before)
        if value.is_graph_output():
            return self._add(value, TensorKind.IO, at, self.op_count)
        return self._add(value, TensorKind.ACTIVATION, at, at + 1)

    def scratch(self, name: str, size_bytes: int, at: int) -> int:
        """A working buffer of op `at`."""
        self._entries.append(
            _Entry(name, TensorKind.SCRATCH, (size_bytes,), "int8", size_bytes, at, at + 1, 0)
        )
        return len(self._entries) - 1

    def size_bytes(self, index: int) -> int:
        """Stored bytes of a tensor."""
        return self._entries[index].size_bytes

    def tensors(self) -> tuple[Tensor, ...]:
        """All tensors, final."""
        names = {e.name for e in self._entries if e.kind is not TensorKind.SCRATCH}
        for entry in self._entries:
            while entry.kind is TensorKind.SCRATCH and entry.name in names:
                entry.name += "_"
        return tuple(
            Tensor(
                e.name,
                e.kind,
                e.shape,
                e.data_type,
                e.size_bytes,
                e.start,
                e.end,
                channels=e.channels,
                written_as=e.written_as,
            )
            for e in self._entries
        )

    def _state(self, before: ir.Value) -> int:
        index = self._index.get(before)
        if index is None:
            index = self._add(before, TensorKind.STATE, 0, self.op_count)
            self._entries[index].written_as = value_name(self._after[before])
        return index

    def _add(self, value: ir.Value, kind: TensorKind, start: int, end: int) -> int:
        shape = shape_of(value)
        data_type = self.type_of(value)
        channels = 0
        # A cache is stored as the step that reads it in place wants it: heads are no channels.
        if kind not in (TensorKind.WEIGHT, TensorKind.STATE) and shape:
            channels = shape[1] if len(shape) >= 4 else shape[-1]
        self._entries.append(
            _Entry(
                value_name(value),
                kind,
                shape,
                data_type,
                stored_bytes(shape, data_type),
                start,
                end,
                channels,
            )
        )
        self._index[value] = len(self._entries) - 1
        return self._index[value]
