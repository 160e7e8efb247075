"""Closing a group: its nodes in order, what it reads, what it writes, what it embeds."""

from dataclasses import dataclass, field

import onnx_ir as ir

from graph_ir.fusion.graph_index import GraphIndex, Seed
from graph_ir.fusion.groups import Group, Reading, Slot
from graph_ir.fusion.immediates import is_immediate
from graph_ir.onnx_values import element_count, node_name, value_name


@dataclass(slots=True)
class _Contents:
    """What is collected while a group is closed; dictionaries serve as ordered sets."""

    inside: set[ir.Node]
    views: dict[ir.Node, None] = field(default_factory=dict)
    immediates: dict[str, None] = field(default_factory=dict)
    readings: list[Reading] = field(default_factory=list)


def close_group(index: GraphIndex, seed: Seed) -> Group:
    """Resolves views and constants of a finished group."""
    members = sorted(seed.members, key=index.position.__getitem__)
    contents = _Contents(set(members))
    slots = _slots(index, members, seed.core)
    for node in members:
        for at, value in enumerate(node.inputs):
            if value is not None:
                slot = Slot(node, at) if node in seed.core else slots.get(node)
                _read(index, node, at, value, slot, contents)
    return Group(
        name=node_name(seed.anchor),
        family=seed.family,
        anchor=seed.anchor,
        core=seed.core,
        members=tuple(members),
        nodes=tuple(sorted([*members, *contents.views], key=index.position.__getitem__)),
        readings=tuple(contents.readings),
        outputs=tuple(
            value
            for node in members
            for value in node.outputs
            if _leaves(index, value, contents.inside)
        ),
        immediates=tuple(contents.immediates),
    )


def _slots(
    index: GraphIndex, members: list[ir.Node], core: tuple[ir.Node, ...]
) -> dict[ir.Node, Slot]:
    """For nodes that run before a core node: the input of it that they feed."""
    slots: dict[ir.Node, Slot] = {}
    inside = set(members)
    for node in reversed(members):
        for at, value in enumerate(node.inputs):
            if value is None:
                continue
            producer = index.trace(value)[0].producer()
            if producer is None or producer not in inside or producer in core:
                continue
            slot = Slot(node, at) if node in core else slots.get(node)
            if slot is not None:
                slots.setdefault(producer, slot)
    return slots


def _read(
    index: GraphIndex,
    node: ir.Node,
    at: int,
    value: ir.Value,
    slot: Slot | None,
    contents: _Contents,
    beside: bool = False,
) -> None:
    """Adds what input `at` of `node` reads, behind its views, to the contents of the group."""
    owner, chain = index.trace(value)
    last, last_at = (chain[-1], index.data_input(chain[-1])) if chain else (node, at)
    if is_immediate(last, last_at):
        contents.immediates[value_name(owner)] = None
    elif owner.producer() not in contents.inside:
        elements = element_count(owner)
        seen = value
        for view in chain:
            elements = min(elements, element_count(seen))
            seen = view.inputs[index.data_input(view)] or owner
        contents.readings.append(Reading(node, at, owner, value, elements, slot, beside))
    for view in chain:
        if view in contents.views:
            continue
        contents.views[view] = None
        for side_at, side in enumerate(view.inputs):
            if side is not None and side_at != index.data_input(view):
                _read(index, view, side_at, side, slot, contents, beside=True)


def _leaves(index: GraphIndex, value: ir.Value, inside: set[ir.Node]) -> bool:
    """True where a value is needed outside of the group, directly or through views."""
    pending = [value]
    while pending:
        current = pending.pop()
        if current.is_graph_output():
            return True
        for consumer in index.consumers(current):
            if consumer in inside:
                continue
            if not index.is_view(consumer):
                return True
            pending.extend(consumer.outputs)
    return False
