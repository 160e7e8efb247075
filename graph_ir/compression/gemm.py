"""Gemm in the one form that onnxruntime fuses with a quantized weight.

Alpha and beta other than 1, and a bias that is not `[N]`, leave a DequantizeLinear that runs on
every call: alpha goes into the weight, beta and the shape into a constant bias.
"""

import numpy as np
import onnx_ir as ir

from graph_ir.onnx_values import op_key, shape_of, value_name
from graph_ir.passes.rewiring import add_constant, constant_array, graph_of


def factor_of(node: ir.Node) -> float:
    """What the product of the factors is multiplied with."""
    return node.attributes.get_float("alpha", 1.0) if op_key(node) == "Gemm" else 1.0


def bias_refusal(node: ir.Node, columns: int) -> str | None:
    """Why a Gemm's bias cannot be brought into the form, None where it can."""
    bias = _bias(node)
    if bias is None:
        return None
    shape, beta = shape_of(bias), node.attributes.get_float("beta", 1.0)
    if shape == (columns,) and beta == 1.0:
        return None
    if constant_array(bias) is None:
        return f"its bias is computed, {list(shape)} times {beta:g}"
    if any(extent != 1 for extent in shape[:-1]):
        return f"its bias {list(shape)} is not one number a column"
    return None


def normalize(node: ir.Node, columns: int, transposed: bool) -> None:
    """Rewrites a Gemm whose weight is about to be `[K, N]` with alpha in it; a MatMul stays."""
    if op_key(node) != "Gemm":
        return
    if transposed:
        node.attributes.pop("transB")
    node.attributes.pop("alpha", None)
    bias, beta = _bias(node), node.attributes.get_float("beta", 1.0)
    node.attributes.pop("beta", None)
    if bias is None or (shape_of(bias) == (columns,) and beta == 1.0):
        return
    array = constant_array(bias)
    assert array is not None, node
    scaled = array.astype(np.float64).reshape(-1) * beta
    whole_N = np.broadcast_to(scaled, (columns,)).astype(array.dtype)
    graph = graph_of(node)
    stem = f"{value_name(bias)}.columns"
    node.replace_input_with(2, add_constant(graph, stem, whole_N))
    if not bias.uses() and bias.is_initializer() and not bias.is_graph_output():
        del graph.initializers[value_name(bias)]


def _bias(node: ir.Node) -> ir.Value | None:
    return node.inputs[2] if op_key(node) == "Gemm" and len(node.inputs) > 2 else None
