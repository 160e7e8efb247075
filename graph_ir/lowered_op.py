"""One group as one op of the workload."""

from math import prod

import onnx_ir as ir

from graph_ir.datatypes import BITS
from graph_ir.errors import InputError
from graph_ir.fusion.groups import Group, Reading
from graph_ir.kv.operator import is_cached_attention
from graph_ir.onnx_values import op_key, shape_of
from graph_ir.op_rules.cached_attention import cached_attention_facts
from graph_ir.op_rules.dequantize_cost import FUSED_DEQUANTIZING, dequantize_ops
from graph_ir.op_rules.facts import BOTH, OperandFacts, OpFacts
from graph_ir.op_rules.in_place import is_scatter, scatter_facts, written_elements
from graph_ir.op_rules.rules import RULES
from graph_ir.op_rules.vector_cost import vector_ops
from graph_ir.tensor_table import TensorTable
from graph_ir.workload import Op, Operand, Role, Split


def lower_op(table: TensorTable, at: int, group: Group) -> Op:
    """Adds the tensors of a group to the table and counts its work."""
    facts, vector_work = _facts(table, group)
    operands = _reads(table, at, group, facts)
    if facts.scratch_bytes:
        index = table.scratch(f"{group.name}:scratch", facts.scratch_bytes, at)
        splits = facts.space.present((Split.ROWS, Split.COLUMNS))
        operands.append(Operand(index, Role.SCRATCH, facts.scratch_bytes, splits))
    operands += [_written(table, at, value, facts) for value in group.outputs]
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


def _written(table: TensorTable, at: int, value: ir.Value, facts: OpFacts) -> Operand:
    """What an op writes: all of an activation, of a state only what changes."""
    index = table.write(value, at)
    before, node = table.states.get(value), value.producer()
    if before is None or node is None:
        splits = facts.space.splits(shape_of(value))
        return Operand(index, Role.OUTPUT, table.size_bytes(index), splits)
    elements = facts.written_elements.get(value)
    if elements is None:
        elements = written_elements(node, before, value)
    traffic = (elements * BITS[table.type_of(before)] + 7) // 8
    # Whichever core has a row or a head writes it.
    splits = facts.space.present(BOTH)
    return Operand(index, Role.OUTPUT, min(table.size_bytes(index), traffic), splits)


def _dequantize_ops(group: Group, facts: OpFacts) -> int:
    """Work of widening weights; of those that are looked up, the rows that are touched."""
    total = facts.dequantize_ops
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
        facts = _rule(table, group)
        counted = [n for n in group.members if facts.vector_ops is None or n is not group.anchor]
        return facts, (facts.vector_ops or 0) + sum(vector_ops(node) for node in counted)
    except (IndexError, KeyError, TypeError, ValueError, ZeroDivisionError) as error:
        raise InputError(
            f"node {group.name} ({op_key(group.anchor)}): expected operands and attributes as "
            f"the op defines them, got ranks or values that do not fit"
        ) from error


def _rule(table: TensorTable, group: Group) -> OpFacts:
    """The rule of the family, or of an op that updates states."""
    node = group.anchor
    if is_cached_attention(node):
        return cached_attention_facts(group, table.type_of, table.states, table.context)
    before = table.states.get(node.outputs[0])
    if before is not None and is_scatter(node, before):
        return scatter_facts(node)
    return RULES[group.family](group, table.type_of)


def _reads(table: TensorTable, at: int, group: Group, facts: OpFacts) -> list[Operand]:
    """One operand for each tensor and role, its traffic summed over disjoint readings."""
    merged: dict[tuple[int, Role], Operand] = {}
    for reading in group.readings:
        index = table.read(reading.owner, at)
        if _is_overwritten(table, reading):
            continue
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
        fresh = reading.owner in table.states
        merged[(index, how.role)] = Operand(index, how.role, traffic, splits, halo, fresh)
    return list(merged.values())


def _is_overwritten(table: TensorTable, reading: Reading) -> bool:
    """True for the state itself as the input of the node that writes rows into it."""
    before = table.states.get(reading.node.outputs[0])
    return (
        before is reading.owner and reading.index == 0 and is_scatter(reading.node, reading.owner)
    )


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
