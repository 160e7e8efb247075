"""One group as one op of the workload, and the table of tensors that it fills."""

from dataclasses import dataclass
from math import prod

import onnx_ir as ir

from graph_ir.datatypes import BITS, stored_bytes
from graph_ir.errors import InputError
from graph_ir.fusion.groups import Group, Reading
from graph_ir.onnx_values import is_constant, op_key, shape_of, value_name
from graph_ir.op_rules.dequantize_cost import FUSED_DEQUANTIZING, dequantize_ops
from graph_ir.op_rules.facts import OperandFacts, OpFacts
from graph_ir.op_rules.rules import RULES
from graph_ir.op_rules.vector_cost import vector_ops
from graph_ir.stored_types import stored_type
from graph_ir.workload import Op, Operand, Role, Split, Tensor, TensorKind


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


class TensorTable:
    """Tensors in order of first appearance, their lifetimes growing as ops are added."""

    def __init__(self, execution_type: str, op_count: int) -> None:
        self.execution_type = execution_type
        self.op_count = op_count
        self._entries: list[_Entry] = []
        self._index: dict[ir.Value, int] = {}
        self._types: dict[ir.Value, str] = {}

    def type_of(self, value: ir.Value) -> str:
        """The type in which a value is stored."""
        if value not in self._types:
            self._types[value] = stored_type(value, self.execution_type)
        return self._types[value]

    def read(self, value: ir.Value, at: int) -> int:
        """The tensor of a value that op `at` reads."""
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
            )
            for e in self._entries
        )

    def _add(self, value: ir.Value, kind: TensorKind, start: int, end: int) -> int:
        shape = shape_of(value)
        data_type = self.type_of(value)
        channels = 0
        if kind is not TensorKind.WEIGHT and shape:
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


def lower_op(table: TensorTable, at: int, group: Group) -> Op:
    """Adds the tensors of a group to the table and counts its work."""
    facts, vector_work = _facts(table, group)
    operands = _reads(table, at, group, facts)
    if facts.scratch_bytes:
        index = table.scratch(f"{group.name}:scratch", facts.scratch_bytes, at)
        splits = facts.space.present((Split.ROWS, Split.COLUMNS))
        operands.append(Operand(index, Role.SCRATCH, facts.scratch_bytes, splits))
    for value in group.outputs:
        index = table.write(value, at)
        splits = facts.space.splits(shape_of(value))
        operands.append(Operand(index, Role.OUTPUT, table.size_bytes(index), splits))
    work = facts.mac_work
    return Op(
        name=group.name,
        family=group.family,
        nodes=tuple(node.name or "" for node in group.nodes),
        operands=tuple(operands),
        mac_work=work,
        vector_ops=vector_work,
        rows=facts.space.rows,
        columns=facts.space.columns,
        layout=facts.layout,
        execution_type=work[0].left_type if work else table.execution_type,
        window=facts.window,
        dequantize_ops=_dequantize_ops(group, facts),
    )


def _dequantize_ops(group: Group, facts: OpFacts) -> int:
    """Work of widening weights; of those that are looked up, the rows that are touched."""
    total = 0
    for reading in group.readings:
        if reading.beside:
            continue
        how = _how(reading, facts)
        for node in group.nodes:
            if node.inputs and node.inputs[0] is reading.owner:
                count = dequantize_ops(node)
                if how.touched_elements is not None:
                    count = count * how.touched_elements // max(1, reading.elements)
                total += count
    return total + sum(dequantize_ops(n) for n in group.core if op_key(n) in FUSED_DEQUANTIZING)


def _facts(table: TensorTable, group: Group) -> tuple[OpFacts, int]:
    """What the family's rule says, and the vector work of all nodes.

    Ops outside the standard domain are checked by no shape inference: where their operands do
    not have the ranks that their rule takes apart, the model is wrong.
    """
    try:
        facts = RULES[group.family](group, table.type_of)
        return facts, sum(vector_ops(node) for node in group.members)
    except (IndexError, KeyError, TypeError, ValueError, ZeroDivisionError) as error:
        raise InputError(
            f"node {group.name} ({op_key(group.anchor)}): expected operands and attributes as "
            f"the op defines them, got ranks or values that do not fit"
        ) from error


def _reads(table: TensorTable, at: int, group: Group, facts: OpFacts) -> list[Operand]:
    """One operand for each tensor and role, its traffic summed over disjoint readings."""
    merged: dict[tuple[int, Role], Operand] = {}
    for reading in group.readings:
        index = table.read(reading.owner, at)
        how = _how(reading, facts)
        bits = BITS[table.type_of(reading.owner)]
        elements = reading.elements
        if how.touched_elements is not None:
            elements = min(elements, how.touched_elements)
        size = table.size_bytes(index)
        traffic = min(size, (elements * bits + 7) // 8)
        halo = (how.halo_elements * bits + 7) // 8
        splits = _without_repeated_heads(reading, how.split_by, facts)
        known = merged.get((index, how.role))
        if known is not None:
            traffic = min(size, traffic + known.traffic_bytes)
            halo = max(halo, known.halo_bytes)
            splits = tuple(split for split in known.split_by if split in splits)
        merged[(index, how.role)] = Operand(index, how.role, traffic, splits, halo)
    return list(merged.values())


def _how(reading: Reading, facts: OpFacts) -> OperandFacts:
    slot = reading.slot
    how = None if slot is None else facts.operands.get((slot.node, slot.index))
    if how is None:
        return OperandFacts(Role.OTHER, facts.space.splits(shape_of(reading.seen)))
    if reading.beside:
        return OperandFacts(Role.OTHER, how.split_by)
    return how


def _without_repeated_heads(
    reading: Reading, split_by: tuple[Split, ...], facts: OpFacts
) -> tuple[Split, ...]:
    """An operand whose single head is repeated for all of them cannot be split by heads."""
    repeats = prod(shape_of(reading.seen)) // max(1, reading.elements)
    if repeats > 1 and repeats >= facts.space.columns:
        return tuple(split for split in split_by if split is not Split.COLUMNS)
    return split_by
