"""Matrix products whose input is bytes, in the forms that onnxruntime's kernels take.

Standard ops of opset 13 (21 where weights have 4 bits):

- `MatMul(DequantizeLinear, DequantizeLinear(weight, axis 1))` without an addition of a constant
  right behind it, which onnxruntime would make a Gemm of floats before it looks for integers: the
  bias is subtracted with its sign turned;
- weights of 4 bits in blocks: a Flatten between the activation's DequantizeLinear and the product,
  without which onnxruntime dequantizes the weight on every call.
"""

import numpy as np
import onnx_ir as ir

from graph_ir.compression.packing import drop_unused
from graph_ir.compression.qdq import Writer, take_over
from graph_ir.compression.qdq_dynamic import product_bias
from graph_ir.compression.qdq_weights import ChannelWeight, dequantized_weight
from graph_ir.compression.sites import Site
from graph_ir.onnx_values import node_name, op_key, shape_of, value_name
from graph_ir.passes.rewiring import constant_array, graph_of


def emit_static_product(writer: Writer, site: Site, weight: ChannelWeight) -> None:
    """Puts integer products with results of floats in the place of a site's.

    Args:
        writer: of the graph.
        site: its nodes read bytes already; changed in place.
        weight: `[K, N]`, scales along axis 1.
    """
    graph = graph_of(site.node)
    for node in (site.node, *site.shared):
        name, source = node_name(node), node.inputs[0]
        bias = product_bias(node, site)
        factors = [source, dequantized_weight(writer, node, f"{name}.weight", weight)]
        shape = shape_of(node.outputs[0])
        floats = ir.DataType.FLOAT
        (result,) = writer.node(node, "MatMul", factors, f"{name}/product", [floats], [shape])
        if bias is not None:
            result = _subtract(writer, node, result, bias, f"{name}/bias")
        take_over(node, result)
        if bias is None:
            _turn_addition(writer, graph, result)
    drop_unused(graph, site.weight)


def _subtract(
    writer: Writer, before: ir.Node, product: ir.Value, bias: ir.Value, stem: str
) -> ir.Value:
    """`product + bias`, as a subtraction where the bias is a constant."""
    array = constant_array(bias)
    op_type, addend = "Add", bias
    if array is not None:
        op_type = "Sub"
        addend = writer.constant(
            f"{value_name(bias)}.negative", np.negative(array), ir.DataType.FLOAT
        )
    (result,) = writer.node(
        before,
        op_type,
        [product, addend],
        stem,
        [ir.DataType.FLOAT],
        [shape_of(product)],
    )
    return result


def _turn_addition(writer: Writer, graph: ir.Graph, product: ir.Value) -> None:
    """Turns the addition of a constant to a product into a subtraction."""
    for use in list(product.uses()):
        addition = use.node
        other = addition.inputs[1 - use.idx] if op_key(addition) == "Add" else None
        if other is None or constant_array(other) is None or other.dtype is not ir.DataType.FLOAT:
            continue
        if shape_of(addition.outputs[0]) != shape_of(product):
            continue
        result = _subtract(writer, addition, product, other, f"{node_name(addition)}/subtract")
        take_over(addition, result)
        drop_unused(graph, other)


def part_from_activation(writer: Writer, node: ir.Node) -> None:
    """Keeps onnxruntime's fusion of a product with blocked weights, its input being bytes.

    Args:
        writer: of the graph.
        node: MatMul or Gemm; its left factor is a DequantizeLinear's result. Changed in place.
    """
    source = node.inputs[0]
    assert source is not None
    shape, result = shape_of(source), node.outputs[0]
    rows = int(np.prod(shape[:-1], dtype=np.int64))
    (flat,) = writer.node(
        node,
        "Flatten",
        [source],
        f"{node_name(node)}/rows",
        [ir.DataType.FLOAT],
        [(rows, shape[-1])],
        {"axis": len(shape) - 1},
    )
    node.replace_input_with(0, flat)
    whole = shape_of(result)
    if len(shape) == 2:
        return
    # The rows are left open: the graph of a decoder is used with other numbers of them.
    open_rows = np.array([*whole[:-2], -1, whole[-1]], np.int64)
    extents = writer.constant(f"{node_name(node)}.shape", open_rows, ir.DataType.INT64)
    following = graph_of(node)
    end = ir.node("Identity", [result], name=f"{node_name(node)}/end")
    following.insert_after(node, end)
    (shaped,) = writer.node(
        end,
        "Reshape",
        [result, extents],
        f"{node_name(node)}/shaped",
        [ir.DataType.FLOAT],
        [whole],
    )
    following.remove(end, safe=True)
    reshape = shaped.producer()
    is_output, name = result.is_graph_output(), result.name
    for use in list(result.uses()):
        if use.node is not reshape:
            use.node.replace_input_with(use.idx, shaped)
    if is_output:
        for at, output in enumerate(following.outputs):
            if output is result:
                following.outputs[at] = shaped
        result.name = f"{name}.rows"
        shaped.name = name
    result.shape = ir.Shape((rows, whole[-1]))
