"""Layers of Vela's rows as models of one op, lowered like any other.

What a compiler decides before the accelerator sees a layer is put into the lowered graph: the size
that weights have after lossless encoding, bias and scale at 80 bits a channel, and whether the
feature maps are inputs and outputs of the model or of the layer's neighbours.
"""

from dataclasses import dataclass, replace

import numpy as np
import onnx_ir as ir

from graph_ir.lower import lower
from graph_ir.workload import Operand, Tensor, TensorKind, Workload

OPSET = 20
PARAMETER_BYTES = 10
"""Bias (40 bits), scale (32) and shift of one output channel."""


@dataclass(frozen=True, slots=True)
class VelaLayer:
    """One operation.

    Attributes:
        kind: `conv`, `depthwise`, `fc`, `add`, `avgpool`, `maxpool` or `softmax`.
        source: height, width and channels; a matrix product has rows x 1.
        result: likewise.
        kernel: height and width.
        stride: likewise.
        weight_bytes: encoded.
        model_input: the feature map that it reads is an input of the model.
        model_output: the one that it writes is an output.
    """

    kind: str
    source: tuple[int, int, int]
    result: tuple[int, int, int]
    kernel: tuple[int, int] = (1, 1)
    stride: tuple[int, int] = (1, 1)
    weight_bytes: int = 0
    model_input: bool = True
    model_output: bool = True


def layer_workload(layer: VelaLayer) -> Workload:
    """The layer lowered in int8: tensors `x`, `y`, and `w`, `b` or `r` where it has them."""
    workload = lower(_model(layer), "main", "int8").workload
    sizes = {"w": layer.weight_bytes, "b": PARAMETER_BYTES * layer.result[2]}
    tensors = tuple(_tensor(tensor, sizes, layer) for tensor in workload.tensors)

    def operand(one: Operand) -> Operand:
        name = tensors[one.tensor].name
        return replace(one, traffic_bytes=sizes[name]) if name in sizes else one

    ops = tuple(
        replace(op, operands=tuple(operand(one) for one in op.operands)) for op in workload.ops
    )
    return replace(workload, ops=ops, tensors=tensors)


def _tensor(tensor: Tensor, sizes: dict[str, int], layer: VelaLayer) -> Tensor:
    if tensor.name in sizes:
        return replace(tensor, size_bytes=sizes[tensor.name])
    inner = not (layer.model_output if tensor.name == "y" else layer.model_input)
    return replace(tensor, kind=TensorKind.ACTIVATION) if inner else tensor


def _model(layer: VelaLayer) -> ir.Model:
    height, width, channels = layer.source
    rows, columns, filters = layer.result
    image, result = (1, channels, height, width), (1, filters, rows, columns)
    weights: list[ir.Value] = []
    if layer.kind in ("conv", "depthwise"):
        groups = channels if layer.kind == "depthwise" else 1
        shape = (filters, channels // groups, *layer.kernel)
        weights = [_weight("w", shape), _weight("b", (filters,))]
        inputs, attributes = [_value("x", image)], [*_window(layer), ir.AttrInt64("group", groups)]
        op_type = "Conv"
    elif layer.kind == "fc":
        weights = [_weight("w", (channels, filters)), _weight("b", (filters,))]
        inputs, attributes, op_type = [_value("x", (height * width, channels))], [], "Gemm"
        result = (rows * columns, filters)
    elif layer.kind == "add":
        inputs, attributes, op_type = [_value("x", image), _value("r", image)], [], "Add"
    elif layer.kind == "softmax":
        inputs, attributes, op_type = [_value("x", (height * width, channels))], [], "Softmax"
        result = (height * width, channels)
    else:
        op_type = {"avgpool": "AveragePool", "maxpool": "MaxPool"}[layer.kind]
        inputs, attributes = [_value("x", image)], _window(layer)
    node = ir.Node("", op_type, [*inputs, *weights], attributes, name="layer", num_outputs=1)
    output = node.outputs[0]
    output.name, output.shape, output.type = "y", ir.Shape(result), ir.TensorType(_FLOAT)
    graph = ir.Graph(
        inputs,
        [output],
        nodes=[node],
        initializers=weights,
        opset_imports={"": OPSET},
        name="main",
    )
    return ir.Model(graph, ir_version=10)


def _window(layer: VelaLayer) -> list[ir.Attr]:
    """Kernel, strides and the pads that make the result as large as it is."""
    pads = [
        max(0, (out - 1) * step + taps - size)
        for out, step, taps, size in zip(
            layer.result[:2], layer.stride, layer.kernel, layer.source[:2], strict=True
        )
    ]
    before = [pad // 2 for pad in pads]
    after = [pad - pad // 2 for pad in pads]
    return [
        ir.AttrInt64s("kernel_shape", layer.kernel),
        ir.AttrInt64s("strides", layer.stride),
        ir.AttrInt64s("pads", [*before, *after]),
    ]


_FLOAT = ir.DataType.FLOAT


def _value(name: str, shape: tuple[int, ...]) -> ir.Value:
    return ir.Value(name=name, shape=ir.Shape(shape), type=ir.TensorType(_FLOAT))


def _weight(name: str, shape: tuple[int, ...]) -> ir.Value:
    """A weight whose data is never made: lowering reads its shape alone."""

    def zeros() -> ir.Tensor:
        return ir.Tensor(np.zeros(shape, np.float32))

    value = _value(name, shape)
    value.const_value = ir.LazyTensor(zeros, dtype=_FLOAT, shape=ir.Shape(shape), name=name)
    return value
