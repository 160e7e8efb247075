"""Multiply-accumulates per ONNX node, counted from the protobuf alone.

Shares no code with the product and uses other formulas: output elements times the length of each
dot product, where the lowering multiplies out rows, inner and columns.
"""

from math import prod

import numpy as np
import onnx
from onnx import numpy_helper

Shape = tuple[int, ...]


def count_macs(model: onnx.ModelProto) -> dict[str, int]:
    """MACs by node name; nodes without products are left out."""
    inferred = onnx.shape_inference.infer_shapes(model, data_prop=True)
    shapes = _shapes(inferred.graph)
    counts: dict[str, int] = {}
    for node in inferred.graph.node:
        count = _count(node, shapes)
        if count:
            assert node.name
            assert node.name not in counts
            counts[node.name] = count
    return counts


def _shapes(graph: onnx.GraphProto) -> dict[str, Shape]:
    shapes: dict[str, Shape] = {t.name: tuple(t.dims) for t in graph.initializer}
    for value in [*graph.input, *graph.value_info, *graph.output]:
        dims = value.type.tensor_type.shape.dim
        if value.type.tensor_type.HasField("shape") and all(d.HasField("dim_value") for d in dims):
            shapes.setdefault(value.name, tuple(d.dim_value for d in dims))
    for node in graph.node:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            array = numpy_helper.to_array(node.attribute[0].t)
            shapes.setdefault(node.output[0], array.shape)
    return shapes


def _attribute(node: onnx.NodeProto, name: str, default: object) -> object:
    for attribute in node.attribute:
        if attribute.name == name:
            return onnx.helper.get_attribute_value(attribute)
    return default


def _count(node: onnx.NodeProto, shapes: dict[str, Shape]) -> int:
    inputs = [shapes.get(name, ()) for name in node.input]
    kind = node.op_type
    if kind in ("Conv", "ConvInteger", "QLinearConv"):
        weight = inputs[3 if kind == "QLinearConv" else 1]
        return prod(shapes[node.output[0]]) * (prod(weight) // weight[0])
    if kind == "ConvTranspose":
        return prod(inputs[0]) * (prod(inputs[1]) // inputs[1][0])
    if kind in ("MatMul", "MatMulInteger"):
        return prod(shapes[node.output[0]]) * inputs[0][-1]
    if kind == "QLinearMatMul":
        return prod(shapes[node.output[0]]) * inputs[0][-1]
    if kind == "MatMulNBits":
        return prod(inputs[0]) * int(_attribute(node, "N", 0))
    if kind == "Gemm":
        return prod(shapes[node.output[0]]) * inputs[0][0 if _attribute(node, "transA", 0) else 1]
    if kind == "Einsum":
        return _einsum(node, inputs)
    if kind in ("LSTM", "GRU", "RNN"):
        return prod(inputs[0][:2]) * (prod(inputs[1]) + prod(inputs[2]))
    if kind == "Attention" and node.domain == "":
        return _attention(node, inputs, shapes)
    if kind == "MultiHeadAttention":
        batch, queries, width = inputs[0]
        keys = inputs[1][1]
        past = inputs[6][2] if len(inputs) > 6 and node.input[6] else 0
        return batch * queries * (keys + past) * (width + inputs[2][-1])
    if kind == "FusedMatMul":
        inner = inputs[0][-2 if _attribute(node, "transA", 0) else -1]
        return prod(shapes[node.output[0]]) * inner
    assert kind not in ("FusedConv", "FusedGemm", "GroupQueryAttention"), kind
    return 0


def _attention(node: onnx.NodeProto, inputs: list[Shape], shapes: dict[str, Shape]) -> int:
    past = inputs[4][2] if len(inputs) > 4 and node.input[4] else 0
    if len(inputs[0]) == 4:
        batch, heads, queries, depth = inputs[0]
        keys = inputs[1][2] + past
        return batch * heads * queries * keys * (depth + inputs[2][3])
    batch, queries, width = inputs[0]
    keys = inputs[1][1] + past
    return batch * queries * keys * (width + shapes[node.output[0]][-1])


def _einsum(node: onnx.NodeProto, inputs: list[Shape]) -> int:
    """Extents of all indices together, as numpy would loop over them."""
    equation = _attribute(node, "equation", b"")
    assert isinstance(equation, bytes)
    terms = equation.decode().replace(" ", "").split("->")[0].split(",")
    extents: dict[str, int] = {}
    for term, shape in zip(terms, inputs, strict=True):
        assert "." not in term
        extents.update(zip(term, shape, strict=True))
    return int(np.prod([*extents.values()], dtype=np.int64)) if len(terms) == 2 else 0
