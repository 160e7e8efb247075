"""Ops that treat one or several axes as a unit: normalization, softmax, reduction."""

import onnx_ir as ir

from graph_ir.fusion.groups import Group
from graph_ir.onnx_values import constant_ints, normalized_axis, op_key
from graph_ir.op_rules.facts import (
    OperandFacts,
    OpFacts,
    SplitSpace,
    TypeOf,
    activation_space,
    has_input,
    input_shape,
    output_shape,
)
from graph_ir.workload import Role, Split

_TO_THE_END = frozenset(
    {
        "LayerNormalization",
        "RMSNormalization",
        "SimplifiedLayerNormalization",
    }
)
_LAST_AXIS = frozenset(
    {
        "com.microsoft::SkipLayerNormalization",
        "com.microsoft::SkipSimplifiedLayerNormalization",
        "com.microsoft::EmbedLayerNormalization",
    }
)
_GLOBAL_POOLS = frozenset(
    {
        "GlobalAveragePool",
        "GlobalLpPool",
        "GlobalMaxPool",
        "com.microsoft::QLinearGlobalAveragePool",
    }
)
_ROTARY = frozenset({"Concat", "RotaryEmbedding", "com.microsoft::RotaryEmbedding"})
_PER_CHANNEL = frozenset({"GroupNormalization", "InstanceNormalization"})


def elementwise_facts(group: Group, type_of: TypeOf) -> OpFacts:
    """Every output element by itself; a rotary embedding pairs those of the last axis."""
    shape = output_shape(group.members[-1])
    rotary = any(op_key(node) in _ROTARY for node in group.members)
    last = (len(shape) - 1,) if rotary and len(shape) > 3 else ()
    return OpFacts(activation_space(shape, last), "vector")


def axiswise_facts(group: Group, type_of: TypeOf) -> OpFacts:
    """What remains beside the axes that are treated as a unit is divided."""
    node = group.anchor
    if op_key(node) == "com.microsoft::EmbedLayerNormalization":
        return _embedding(node)
    shape = input_shape(node, 0)
    space = activation_space(shape, unit_axes(node, shape))
    operands = {(node, 0): OperandFacts(Role.OTHER, space.splits(shape))}
    if op_key(node) in _PER_CHANNEL:
        for at in range(1, len(node.inputs)):
            operands[(node, at)] = OperandFacts(Role.OTHER, space.present((Split.COLUMNS,)))
    return OpFacts(space, "vector", (), operands)


def unit_axes(node: ir.Node, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The axes along which no core may cut the op's input."""
    key = op_key(node)
    rank = len(shape)
    everything = tuple(range(rank))
    if key in _TO_THE_END:
        first = normalized_axis(node.attributes.get_int("axis", -1), rank)
        return everything[first:]
    if key in _LAST_AXIS:
        return everything[-1:]
    if key in _GLOBAL_POOLS or key == "InstanceNormalization":
        return everything[2:]
    if key == "GroupNormalization":
        # Channels of a group belong together; groups are many, so channels count as divisible.
        return everything[2:]
    if key == "MeanVarianceNormalization":
        axes = node.attributes.get_ints("axes", [0, 2, 3])
        return tuple(normalized_axis(axis, rank) for axis in axes)
    if key == "LRN":
        return everything[1:2]
    if key in ("Softmax", "LogSoftmax", "Hardmax"):
        version = node.version or _opset(node)
        axis = normalized_axis(node.attributes.get_int("axis", -1 if version >= 13 else 1), rank)
        return (axis,) if version >= 13 else everything[axis:]
    if key == "CumSum":
        picked = constant_ints(node.inputs[1]) or ()
        return tuple(normalized_axis(axis, rank) for axis in picked) or everything
    if key in ("ArgMax", "ArgMin", "TopK", "LpNormalization"):
        default = 0 if key.startswith("Arg") else -1
        return (normalized_axis(node.attributes.get_int("axis", default), rank),)
    return _reduced(node, rank) or everything


def _reduced(node: ir.Node, rank: int) -> tuple[int, ...]:
    axes = node.attributes.get_ints("axes", [])
    if not axes and has_input(node, 1):
        axes = constant_ints(node.inputs[1]) or ()
    return tuple(normalized_axis(axis, rank) for axis in axes)


def _opset(node: ir.Node) -> int:
    graph = node.graph
    imports = graph.opset_imports if graph is not None else {}
    return imports.get("", 13)


def _embedding(node: ir.Node) -> OpFacts:
    """Rows of up to three tables, picked by token, and normalized."""
    result = output_shape(node)
    space = SplitSpace(result, tuple(range(len(result) - 1)), ())
    touched = 1
    for extent in result:
        touched *= extent
    operands = {
        (node, at): OperandFacts(Role.OTHER, (), touched_elements=touched) for at in (2, 3, 4)
    }
    return OpFacts(space, "vector", (), operands)
