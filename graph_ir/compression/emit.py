"""Writes a quantized weight into the graph, in the one form that onnxruntime fuses.

`DequantizeLinear(integers [K, N], Cast(scales), zeros; axis 0, block_size) -> MatMul`: standard
ops of opset 21, which onnxruntime fuses to MatMulNBits from the `extended` level on. Weights as
`[N, K]` behind a Transpose, or Gemm with transB, are dequantized on every call instead, a hundred
times slower: such a Gemm is turned around here. Scales are stored as float16; the Cast is folded
when a session is made.
"""

import ml_dtypes
import numpy as np
import onnx_ir as ir

from graph_ir.compression.grid import QuantizedWeight
from graph_ir.compression.sites import Site
from graph_ir.onnx_values import op_key
from graph_ir.passes.rewiring import graph_of, unused_name

OPSET = 21
OPSET_2_BITS = 25

_TYPES = {
    (2, True): (ir.DataType.INT2, ml_dtypes.int2),
    (2, False): (ir.DataType.UINT2, ml_dtypes.uint2),
    (4, True): (ir.DataType.INT4, ml_dtypes.int4),
    (4, False): (ir.DataType.UINT4, ml_dtypes.uint4),
    (8, True): (ir.DataType.INT8, np.int8),
    (8, False): (ir.DataType.UINT8, np.uint8),
}


def needed_opset(bits: int) -> int:
    """The oldest opset that has the integer type."""
    return OPSET_2_BITS if bits == 2 else OPSET


def emit(site: Site, quantized: QuantizedWeight) -> None:
    """Puts a quantized weight in the place of a site's.

    Args:
        site: of a graph of at least `needed_opset`; changed in place.
        quantized: of the site's extents.
    """
    graph, stem = graph_of(site.node), site.weight.name or site.name
    node = site.node
    weight = dequantized_value(graph, node, stem, quantized)
    node.replace_input_with(1, weight)
    if op_key(node) == "Gemm" and site.transposed:
        node.attributes.pop("transB")
    if site.weight.is_initializer() and not site.weight.uses():
        del graph.initializers[site.weight.name or ""]


def dequantized_value(
    graph: ir.Graph, before: ir.Node, stem: str, quantized: QuantizedWeight
) -> ir.Value:
    """The `[K, N]` float32 value of a quantized weight, its nodes inserted before one."""
    scale = packed_constant(graph, f"{stem}.scale", quantized.scale_GN, ir.DataType.FLOAT16)
    wide = ir.node("Cast", [scale], {"to": ir.DataType.FLOAT}, name=f"{stem}.scale/cast")
    wide.outputs[0].name = unused_name(graph, f"{stem}.scale32")
    inputs = [_integers(graph, f"{stem}.q", quantized.levels_KN, quantized), wide.outputs[0]]
    if quantized.zero_GN is not None:
        inputs.append(_integers(graph, f"{stem}.zero", quantized.zero_GN, quantized))
    attributes = {"axis": 0, "block_size": quantized.grid.group}
    whole = ir.node("DequantizeLinear", inputs, attributes, name=f"{stem}/dequantize")
    whole.outputs[0].name = unused_name(graph, f"{stem}.dequantized")
    for node, shape in ((wide, quantized.scale_GN.shape), (whole, quantized.levels_KN.shape)):
        node.outputs[0].shape = ir.Shape(shape)
        node.outputs[0].type = ir.TensorType(ir.DataType.FLOAT)
    graph.insert_before(before, [wide, whole])
    return whole.outputs[0]


def _integers(
    graph: ir.Graph, name: str, levels: np.ndarray, quantized: QuantizedWeight
) -> ir.Value:
    dtype, stored = _TYPES[(quantized.grid.bits, quantized.grid.symmetric)]
    return packed_constant(graph, name, levels.astype(stored), dtype)


def packed_constant(graph: ir.Graph, stem: str, array: np.ndarray, dtype: ir.DataType) -> ir.Value:
    """A new initializer of any element type."""
    name = unused_name(graph, stem)
    value = ir.Value(
        name=name,
        shape=ir.Shape(array.shape),
        type=ir.TensorType(dtype),
        const_value=ir.Tensor(array, dtype=dtype, name=name),
    )
    graph.register_initializer(value)
    return value
