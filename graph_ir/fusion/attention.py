"""Scaled dot-product attention in decomposed form becomes one op.

Product, scale, mask, softmax (with the IsNaN and Where that guard fully masked rows), product.
Heads repeated for grouped queries are views (Expand, Reshape) and stay with the reading.
"""

import onnx_ir as ir

from graph_ir.fusion.epilogue import is_elementwise
from graph_ir.fusion.graph_index import GraphIndex
from graph_ir.fusion.region import grow
from graph_ir.fusion.softmax import SoftmaxUnit, find_softmaxes
from graph_ir.onnx_values import element_count, is_constant, op_key
from graph_ir.op_rules.families import ELEMENTWISE_OPS
from graph_ir.workload import OpFamily

_PRODUCTS = frozenset({"MatMul", "Einsum", "com.microsoft::FusedMatMul"})
_SCALES = frozenset({"Mul", "Div", "Cast"})

# Nodes between the first product and the softmax (scale, mask, soft cap, casts).
_PATH_LIMIT = 10


def fuse_attention(index: GraphIndex) -> None:
    """Claims every softmax that stands between two products of activations."""
    for unit in find_softmaxes(index):
        if not any(index.is_taken(node) for node in unit.members):
            _claim(index, unit)


def _claim(index: GraphIndex, unit: SoftmaxUnit) -> None:
    outside = [node for node in index.consumers(unit.start) if node not in unit.members]
    path = None if outside else _path_to_scores(index, unit.start, 0)
    if path is None:
        return
    scores = path[-1]
    clutter = grow(index, unit.end, is_elementwise, element_count(unit.end))
    end = unit.end if clutter is None else clutter.end
    weighted = _reader(index, end)
    if weighted is None or not _is_product(index, weighted) or weighted is scores:
        return
    if not _multiplies_activations(index, scores) or not _multiplies_activations(index, weighted):
        return
    scales = [node for value in scores.inputs for node in _scales(index, value)]
    members = [*scales, *path, *unit.members, weighted]
    if clutter is not None:
        members.extend(clutter.members)
    index.claim(OpFamily.ATTENTION, weighted, members, weighted.outputs[0], core=(scores, weighted))


def _is_product(index: GraphIndex, node: ir.Node) -> bool:
    return op_key(node) in _PRODUCTS and len(node.inputs) == 2 and not index.is_taken(node)


def _multiplies_activations(index: GraphIndex, product: ir.Node) -> bool:
    return not any(value is None or is_constant(index.trace(value)[0]) for value in product.inputs)


def _path_to_scores(index: GraphIndex, value: ir.Value, depth: int) -> list[ir.Node] | None:
    """The nodes from the softmax's operand back to the product of queries and keys."""
    source, chain = index.trace(value)
    # The softmax may read its own operand more than once, but then through no view.
    private = index.is_private_chain(value) or (depth == 0 and not chain)
    if depth > _PATH_LIMIT or not private or source.is_graph_output():
        return None
    node = index.computed_by(value)
    if node is None or index.is_taken(node):
        return None
    if _is_product(index, node):
        return [node]
    if op_key(node) not in ELEMENTWISE_OPS:
        return None
    for operand in index.data_operands(node):
        path = _path_to_scores(index, operand, depth + 1)
        if path is not None:
            return [node, *path]
    return None


def _reader(index: GraphIndex, value: ir.Value) -> ir.Node | None:
    """The only computing node that reads a value, through views that nothing else reads."""
    while index.is_private(value):
        node = index.consumers(value)[0]
        if not index.is_view(node):
            return node
        following = index.only_output(node)
        if following is None:
            return None
        value = following
    return None


def _scales(index: GraphIndex, value: ir.Value | None) -> list[ir.Node]:
    """Products with scalars that only serve this operand, from last to first."""
    found: list[ir.Node] = []
    while value is not None and index.is_private_chain(value):
        node = index.computed_by(value)
        if node is None or op_key(node) not in _SCALES or index.is_taken(node):
            break
        operands = index.data_operands(node)
        if len(operands) != 1:
            break
        found.append(node)
        value = operands[0]
    return found
