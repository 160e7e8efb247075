"""Writes a low-rank correction into the graph, beside the quantized product."""

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from graph_ir.compression.emit import packed_constant
from graph_ir.compression.grid import F32
from graph_ir.compression.residual_stream_ops import float_constant
from graph_ir.onnx_values import node_name, op_key, shape_of
from graph_ir.passes.rewiring import graph_of, unused_name

STORES = ("int8", "fp16")


def emit_factors(node: ir.Node, a_Kr: F32, b_rN: F32, store: str) -> int:
    """Adds `(x A) B` to a product `x W`, behind its bias where one is added.

    The product keeps the form that onnxruntime fuses.

    Args:
        node: MatMul or Gemm without transA.
        a_Kr: A.
        b_rN: B.
        store: of `STORES`.

    Returns:
        Bits that the factors take, with scales.
    """
    graph, name, x = graph_of(node), node_name(node), node.inputs[0]
    assert x is not None
    last = _biased(node)
    output = last.outputs[0]
    down, down_bits = _stored(graph, node, f"{name}.lorc.down", a_Kr, 1, store)
    up, up_bits = _stored(graph, node, f"{name}.lorc.up", b_rN, 0, store)
    thin = ir.node("MatMul", [x, down], name=f"{name}/lorc_down")
    wide = ir.node("MatMul", [thin.outputs[0], up], name=f"{name}/lorc_up")
    total = ir.node("Add", [output, wide.outputs[0]], name=f"{name}/lorc_add")
    thin_shape = (*shape_of(x)[:-1], a_Kr.shape[1])
    for made, shape in ((thin, thin_shape), (wide, shape_of(output)), (total, shape_of(output))):
        made.outputs[0].shape, made.outputs[0].type = ir.Shape(shape), output.type
    graph.insert_after(last, [thin, wide, total])
    for made, stem in ((thin, "down"), (wide, "up"), (total, "sum")):
        made.outputs[0].name = unused_name(graph, f"{name}.lorc.{stem}.out")
    is_output, old_name = output.is_graph_output(), output.name
    output.replace_all_uses_with(total.outputs[0], replace_graph_outputs=True)
    total.replace_input_with(0, output)
    if is_output:
        output.name, total.outputs[0].name = total.outputs[0].name, old_name
    return down_bits + up_bits


def _biased(node: ir.Node) -> ir.Node:
    """The node itself, or the Add of a constant that alone reads it: the two become one kernel."""
    uses = node.outputs[0].uses()
    if len(uses) != 1 or node.outputs[0].is_graph_output():
        return node
    adder, at = next(iter(uses))
    is_bias = op_key(adder) == "Add" and float_constant(adder.inputs[1 - at]) is not None
    same = is_bias and shape_of(adder.outputs[0]) == shape_of(node.outputs[0])
    return adder if same else node


def _stored(
    graph: ir.Graph, before: ir.Node, stem: str, factor: F32, axis: int, store: str
) -> tuple[ir.Value, int]:
    """The float32 value of a factor, kept small; the scales of int8 run along the rank."""
    if store == "fp16":
        small = packed_constant(graph, stem, factor.astype(np.float16), ir.DataType.FLOAT16)
        node = ir.node("Cast", [small], {"to": ir.DataType.FLOAT}, name=f"{stem}/cast")
        bits = 16 * factor.size
    else:
        levels, scale = _as_int8(factor, axis)
        inputs = [
            packed_constant(graph, stem, levels, ir.DataType.INT8),
            packed_constant(graph, f"{stem}.scale", scale, ir.DataType.FLOAT),
        ]
        attributes = {"axis": axis}
        node = ir.node("DequantizeLinear", inputs, attributes, name=f"{stem}/dequantize")
        bits = 8 * factor.size + 32 * scale.size
    wide = node.outputs[0]
    wide.name = unused_name(graph, f"{stem}.float")
    wide.shape, wide.type = ir.Shape(factor.shape), ir.TensorType(ir.DataType.FLOAT)
    graph.insert_before(before, node)
    return wide, bits


def _as_int8(factor: F32, axis: int) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    largest = np.abs(factor).max(axis=1 - axis)
    scale = np.where(largest > 0, largest / 127, 1).astype(np.float32)
    spread = scale[None, :] if axis == 1 else scale[:, None]
    return np.clip(np.rint(factor / spread), -127, 127).astype(np.int8), scale
