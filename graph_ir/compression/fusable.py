"""Rewrites around products of dequantized weights without which onnxruntime would not fuse them.

Measured on onnxruntime 1.31; none changes what the graph computes:

- integers, scales or zero points that two products read, or a dequantized weight that has two
  readers, are dequantized on every call: each product gets its own (equal bytes are stored once);
- a product of a matrix (not of a batch) to which anything but one number a column is added becomes
  a Gemm first, and no Gemm but one with a bias `[N]` is fused: `[1, N]` becomes `[N]`, and any
  other addition is kept apart by a batch of one;
- a Relu or Clip behind a product hides it: see `clamps`;
- so does a DequantizeLinear before it, that of an embedding's rows: a Flatten parts the two.
"""

import numpy as np
import onnx_ir as ir

from graph_ir.compression.clamps import unclamp
from graph_ir.compression.packing import drop_unused, named_node
from graph_ir.compression.qdq import Writer
from graph_ir.compression.qdq_static import part_from_activation
from graph_ir.onnx_values import is_constant, op_key, shape_of, value_name
from graph_ir.passes.rewiring import add_constant, constant_array, unused_name

# What is folded when a session is made; its operand is then a constant of its own.
_FOLDED = frozenset({"Cast", "Transpose", "Reshape"})


def make_fusable(graph: ir.Graph) -> int:
    """Rewrites a graph in place.

    Returns:
        How many products were touched.
    """
    changed = 0
    for node in list(graph):
        if _reads_rows(node):
            part_from_activation(Writer(graph), node)
            changed += 1
        whole = _dequantize_of(node)
        if whole is not None:
            apart = _own_weight(graph, node, whole)
            changed += any([apart, _keep_addition_apart(graph, node), unclamp(graph, node)])
    return changed


def _dequantize_of(node: ir.Node) -> ir.Node | None:
    """The node that dequantizes the weight of a product with float activations."""
    if op_key(node) not in ("MatMul", "Gemm"):
        return None
    left, right = (value.producer() if value is not None else None for value in node.inputs[:2])
    if right is None or op_key(right) != "DequantizeLinear" or right.inputs[0] is None:
        return None
    if left is not None and op_key(left) == "DequantizeLinear":
        return None  # integer activations: another kernel, which shares weights
    return right if is_constant(right.inputs[0]) else None


def _reads_rows(node: ir.Node) -> bool:
    """Whether both factors of a product are dequantized, the left one being picked rows."""
    if op_key(node) not in ("MatMul", "Gemm"):
        return False
    factors = [value.producer() if value is not None else None for value in node.inputs[:2]]
    if any(factor is None or op_key(factor) != "DequantizeLinear" for factor in factors):
        return False
    rows = factors[0].inputs[0] if factors[0] is not None else None
    picked = rows.producer() if rows is not None else None
    return picked is not None and op_key(picked) == "Gather"


def _own_weight(graph: ir.Graph, node: ir.Node, whole: ir.Node) -> bool:
    """Gives a product a DequantizeLinear and constants that nothing else reads."""
    shared = len(whole.outputs[0].uses()) > 1 or whole.outputs[0].is_graph_output()
    inputs = list(whole.inputs)
    for at, value in enumerate(inputs):
        if value is None:
            continue
        wide = value.producer()
        constant = wide.inputs[0] if wide is not None and op_key(wide) == "Cast" else value
        if constant is None or not is_constant(constant):
            continue
        alone = _fused_readers(constant) <= 1 and (value is constant or len(value.uses()) <= 1)
        if alone and not shared:
            continue
        copy = _copied(graph, constant)
        if wide is not None and constant is not value:
            assert value.dtype is not None
            stem = f"{value_name(copy)}.wide"
            to = {"to": value.dtype}
            cast = named_node(graph, "Cast", [copy], to, stem, shape_of(value), value.dtype)
            graph.insert_before(node, cast)
            copy = cast.outputs[0]
        inputs[at] = copy
    if not shared and all(a is b for a, b in zip(inputs, whole.inputs, strict=True)):
        return False
    own = ir.node("DequantizeLinear", inputs, dict(whole.attributes))
    output, old = own.outputs[0], whole.outputs[0]
    output.name = unused_name(graph, f"{value_name(old)}.own")
    output.shape, output.type = old.shape, old.type
    own.name = f"{output.name}/DequantizeLinear"
    graph.insert_before(node, own)
    node.replace_input_with(1, output)
    _drop(graph, whole)
    return True


def _fused_readers(constant: ir.Value) -> int:
    """Readers of a constant but for those that are folded into constants of their own.

    A Cast of scales counts: two of one constant are merged into one before they are folded.
    """
    uses = [node for node, _ in constant.uses()]
    folded = [n for n in uses if op_key(n) in _FOLDED and not _widens_scales(n)]
    return len(uses) - len(folded)


def _widens_scales(node: ir.Node) -> bool:
    return op_key(node) == "Cast" and any(
        op_key(user) == "DequantizeLinear" and at == 1 and is_constant_input(user)
        for user, at in node.outputs[0].uses()
    )


def is_constant_input(node: ir.Node) -> bool:
    """Whether what a node has for its first input is a constant."""
    return node.inputs[0] is not None and is_constant(node.inputs[0])


def _copied(graph: ir.Graph, constant: ir.Value) -> ir.Value:
    tensor = constant.const_value
    assert tensor is not None
    name = unused_name(graph, value_name(constant))
    array = tensor.numpy()
    copy = ir.Value(
        name=name,
        shape=ir.Shape(array.shape),
        type=ir.TensorType(tensor.dtype),
        const_value=ir.Tensor(array, dtype=tensor.dtype, name=name),
    )
    graph.register_initializer(copy)
    return copy


def _drop(graph: ir.Graph, node: ir.Node) -> None:
    """Removes a node that nothing reads, and what only it read."""
    if any(output.uses() or output.is_graph_output() for output in node.outputs):
        return
    read = [value for value in node.inputs if value is not None]
    graph.remove(node, safe=True)
    for value in read:
        producer = value.producer()
        if producer is not None:
            _drop(graph, producer)
        else:
            drop_unused(graph, value)


def _keep_addition_apart(graph: ir.Graph, node: ir.Node) -> bool:
    product, left = node.outputs[0], node.inputs[0]
    uses = list(product.uses())
    if op_key(node) != "MatMul" or left is None or len(shape_of(left)) != 2 or len(uses) != 1:
        return False
    add, at = uses[0]
    if op_key(add) != "Add" or product.is_graph_output():
        return False
    other = add.inputs[1 - at]
    rows, columns = shape_of(product)
    if other is None or other is product or len(shape_of(other)) != 2:
        return False
    array = constant_array(other)
    if array is not None and shape_of(other) == (1, columns):
        bias_N = np.ascontiguousarray(array.reshape(-1))
        add.replace_input_with(1 - at, add_constant(graph, f"{value_name(other)}.columns", bias_N))
        drop_unused(graph, other)
        return True
    _batch_of_one(graph, node, rows, columns)
    return True


def _batch_of_one(graph: ir.Graph, node: ir.Node, rows: int, columns: int) -> None:
    """`[M, K] x W` as `[1, M, K] x W`; the product keeps its name."""
    left, product = node.inputs[0], node.outputs[0]
    assert left is not None
    assert left.dtype is not None
    inner, name = shape_of(left)[1], value_name(product)
    batch = _shape_constant(graph, f"{name}.batch_shape", (1, -1, inner))
    before = named_node(
        graph, "Reshape", [left, batch], {}, f"{name}.left", (1, rows, inner), left.dtype
    )
    graph.insert_before(node, before)
    node.replace_input_with(0, before.outputs[0])
    flat = _shape_constant(graph, f"{name}.flat_shape", (-1, columns))
    after = named_node(
        graph, "Reshape", [product, flat], {}, f"{name}.flat", (rows, columns), left.dtype
    )
    result = after.outputs[0]
    product.replace_all_uses_with(result)
    after.replace_input_with(0, product)
    graph.insert_after(node, after)
    product.name, product.shape = f"{name}.batch", ir.Shape((1, rows, columns))
    result.name = name


def _shape_constant(graph: ir.Graph, stem: str, extents: tuple[int, ...]) -> ir.Value:
    return add_constant(graph, stem, np.array(extents, np.int64))
