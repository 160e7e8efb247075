"""Placement ops as groups of ONNX nodes."""

from dataclasses import dataclass

import onnx_ir as ir

from graph_ir.workload import OpFamily


@dataclass(frozen=True, slots=True)
class Slot:
    """An input of one of a group's core nodes.

    Attributes:
        node: the core node.
        index: of its input.
    """

    node: ir.Node
    index: int


@dataclass(frozen=True, slots=True)
class Reading:
    """A memory-owning value as one node of a group consumes it.

    Attributes:
        node: the node that computes with it (never a view).
        index: of the node's input.
        owner: the value that owns the memory.
        seen: what the node consumes: `owner` after the views in between.
        elements: elements of `owner` that the views let through.
        slot: the input of a core node into which it flows, or None where it enters after them.
        beside: True for what a view reads beside its data (scales of compressed weights).
    """

    node: ir.Node
    index: int
    owner: ir.Value
    seen: ir.Value
    elements: int
    slot: Slot | None
    beside: bool = False


@dataclass(frozen=True, slots=True)
class Group:
    """An ordered group of ONNX nodes that runs as one op; values inside it need no memory.

    Attributes:
        name: of the op (its anchor's name).
        family: how it is executed.
        anchor: the node that gives the op its family.
        core: the nodes whose work its family's rule counts (both products of an attention).
        members: its computing nodes, in topological order.
        nodes: members and the views they read or write through, in topological order. A view
            may belong to several groups.
        readings: what it reads from memory, in order of first use.
        outputs: values that it writes to memory.
        immediates: names of the constants that its command stream embeds.
    """

    name: str
    family: OpFamily
    anchor: ir.Node
    core: tuple[ir.Node, ...]
    members: tuple[ir.Node, ...]
    nodes: tuple[ir.Node, ...]
    readings: tuple[Reading, ...]
    outputs: tuple[ir.Value, ...]
    immediates: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Fusion:
    """All groups of a model.

    Attributes:
        groups: in execution order.
        owners: for the result of a view that no group stores, the value that owns the memory.
    """

    groups: tuple[Group, ...]
    owners: dict[ir.Value, ir.Value]
