"""LayerNorm and RMSNorm, as single nodes or in the decomposed forms that exporters emit."""

import onnx_ir as ir

from graph_ir.fusion.epilogue import is_elementwise
from graph_ir.fusion.graph_index import GraphIndex
from graph_ir.fusion.region import cone, grow
from graph_ir.onnx_values import element_count, is_constant, op_key
from graph_ir.op_rules.families import ELEMENTWISE_OPS, FAMILIES
from graph_ir.workload import OpFamily

_MEANS = frozenset({"ReduceMean", "ReduceSum"})
_ROOTS = frozenset({"Sqrt", "Pow"})


def fuse_norms(index: GraphIndex) -> None:
    """Claims every normalization; the decomposed ones are found by their mean of squares."""
    for node in index.nodes:
        if index.is_taken(node):
            continue
        if FAMILIES.get(op_key(node)) is OpFamily.NORMALIZATION:
            index.claim(OpFamily.NORMALIZATION, node, [node], index.only_output(node))
        elif op_key(node) in _MEANS:
            _claim_decomposed(index, node)


def fuse_adds_before_norms(index: GraphIndex) -> None:
    """A residual add that only feeds a normalization, and was not fused before, joins it."""
    for seed in index.seeds:
        if seed.family is OpFamily.NORMALIZATION:
            found = cone(index, seed.members, lambda node: op_key(node) in ("Add", "Sum"))
            index.extend(seed, found[len(seed.members) :])


def _squared(index: GraphIndex, value: ir.Value | None) -> tuple[ir.Node, ir.Value] | None:
    """The node that squares, and what it squares, where `value` is only read as that square."""
    if value is None or not index.is_private_chain(value):
        return None
    node = index.computed_by(value)
    if node is None or index.is_taken(node):
        return None
    base = node.inputs[0]
    if base is None or is_constant(base):
        return None
    if op_key(node) == "Mul" and node.inputs[1] is base:
        return node, base
    if op_key(node) == "Pow" and node.inputs[1] is not None:
        exponent = ir.convenience.get_const_tensor(node.inputs[1])
        if exponent is not None and exponent.size == 1 and float(exponent.numpy().item()) == 2.0:
            return node, base
    return None


def _claim_decomposed(index: GraphIndex, mean: ir.Node) -> None:
    squared = _squared(index, mean.inputs[0])
    if squared is None:
        return
    square, base = squared
    region = grow(index, mean.outputs[0], is_elementwise, element_count(base))
    if region is None or not any(op_key(node) in _ROOTS for node in region.members):
        return
    small = element_count(mean.outputs[0])

    def centers(node: ir.Node) -> bool:
        key = op_key(node)
        if key == "Sub" or key in _MEANS:
            return True
        return key in ELEMENTWISE_OPS and element_count(node.outputs[0]) <= small

    members = cone(index, [square, mean, *region.members], centers)
    index.claim(OpFamily.NORMALIZATION, mean, members, region.end)
