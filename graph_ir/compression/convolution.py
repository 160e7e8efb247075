"""Where a model has convolutions that bytes can compute, and how one is written.

`Conv(DequantizeLinear(activation), DequantizeLinear(weight), DequantizeLinear(bias)) ->
QuantizeLinear`: standard ops, which onnxruntime fuses to QLinearConv from the `extended` level on.
There is no such kernel with float activations or a float result, nor one for 4-bit weights: these
are stored in 4 bits and widened when the model is loaded.
"""

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from graph_ir.compression.grid import F32
from graph_ir.compression.qdq import ActivationGrid, Writer
from graph_ir.compression.qdq_weights import ChannelWeight, dequantized_weight
from graph_ir.compression.sites import Skipped
from graph_ir.onnx_values import is_constant, node_name, op_key, value_name
from graph_ir.passes.rewiring import constant_array, graph_of

# Integers of a bias stay this far from the end of 32 bits, where sums of products still fit.
_BIAS_LIMIT = float(1 << 30)


@dataclass(frozen=True, slots=True, eq=False)
class ConvolutionSite:
    """A convolution with a constant weight.

    Attributes:
        node: Conv.
        weight: `[Cout, Cin / groups, kernel...]`.
        bias: `[Cout]`; None for none.
    """

    node: ir.Node
    weight: ir.Value
    bias: ir.Value | None

    @property
    def name(self) -> str:
        """The node's, which is unique."""
        return node_name(self.node)


def find_convolutions(graph: ir.Graph) -> tuple[tuple[ConvolutionSite, ...], tuple[Skipped, ...]]:
    """The convolutions that bytes can compute, and the others with the reason."""
    found: list[ConvolutionSite] = []
    skipped: list[Skipped] = []
    for node in graph:
        if op_key(node) == "ConvTranspose":
            reason = "onnxruntime has no transposed convolution of integers"
            skipped.append(Skipped(node_name(node), reason))
        if op_key(node) != "Conv":
            continue
        site = _site(node)
        if isinstance(site, ConvolutionSite):
            found.append(site)
        else:
            skipped.append(Skipped(node_name(node), site))
    return tuple(found), tuple(skipped)


def _site(node: ir.Node) -> ConvolutionSite | str:
    source, weight = node.inputs[0], node.inputs[1]
    bias = node.inputs[2] if len(node.inputs) > 2 else None
    assert source is not None
    assert weight is not None
    if not is_constant(weight) or (bias is not None and not is_constant(bias)):
        producer = weight.producer()
        if producer is not None and op_key(producer) == "DequantizeLinear":
            return "its weight is quantized already"
        return "its weight or bias is no constant"
    for value, what in ((weight, "weight"), (source, "input")):
        if value.dtype is not ir.DataType.FLOAT:
            return f"its {what} is {value.dtype.name if value.dtype else 'untyped'}, not FLOAT"
    return ConvolutionSite(node, weight, bias)


def fold_following_additions(graph: ir.Graph) -> int:
    """Makes an addition of a constant per channel the bias of the convolution before it.

    Returns:
        How many additions are gone.
    """
    folded = 0
    for node in list(graph):
        producer = node.inputs[0].producer() if node.inputs and node.inputs[0] else None
        addend = constant_array(node.inputs[1]) if op_key(node) == "Add" else None
        if producer is None or addend is None or op_key(producer) != "Conv":
            continue
        if len(producer.inputs) > 2 and producer.inputs[2] is not None:
            continue
        weight, result = producer.inputs[1], producer.outputs[0]
        if weight is None or weight.shape is None or result.shape is None:
            continue
        channels, rank = weight.shape[0], len(result.shape)
        expected = (channels, *([1] * (rank - 2)))
        if tuple(addend.shape)[-(rank - 1) :] != expected or addend.size != channels:
            continue
        if len(result.uses()) != 1 or result.is_graph_output() or addend.dtype != np.float32:
            continue
        writer = Writer(graph)
        bias = writer.constant(
            f"{node_name(producer)}.bias", addend.reshape(-1).copy(), ir.DataType.FLOAT
        )
        producer.resize_inputs(3)
        producer.replace_input_with(2, bias)
        if not _absorb(node, producer):
            producer.replace_input_with(2, None)
            del graph.initializers[bias.name or ""]
            continue
        folded += 1
    return folded


def _absorb(node: ir.Node, producer: ir.Node) -> bool:
    """Lets the producer's output stand for a node's."""
    from graph_ir.passes.rewiring import bypass

    return bypass(node, node.outputs[0], producer.outputs[0])


def bias_safe_scale(scale_C: F32, bias_C: F32, input_scale: float) -> F32:
    """Scales of a weight that are large enough for the bias to be an integer of 32 bits."""
    least_C = np.abs(bias_C).astype(np.float64) / (_BIAS_LIMIT * input_scale)
    return np.maximum(scale_C, least_C.astype(np.float32))


def emit_convolution(
    writer: Writer, site: ConvolutionSite, weight: ChannelWeight, bias_C: F32, grid: ActivationGrid
) -> None:
    """Puts a quantized weight and bias in the place of a site's.

    Args:
        writer: of the graph.
        site: its input is on `grid` already; changed in place.
        weight: scales along axis 0.
        bias_C: float32; zeros for none.
        grid: of the input.
    """
    node, graph, name = site.node, graph_of(site.node), site.name
    stem = value_name(site.weight)
    node.replace_input_with(1, dequantized_weight(writer, node, stem, weight))
    if site.bias is not None or bias_C.any():
        scale_C = (weight.scale_C * np.float32(grid.scale)).astype(np.float32)
        integers = np.rint(bias_C.astype(np.float64) / scale_C).astype(np.int32)
        (bias,) = writer.node(
            node,
            "DequantizeLinear",
            [
                writer.constant(f"{name}.bias.q", integers, ir.DataType.INT32),
                writer.constant(f"{name}.bias.scale", scale_C, ir.DataType.FLOAT),
            ],
            f"{name}.bias/dequantize",
            [ir.DataType.FLOAT],
            [integers.shape],
            {"axis": 0},
        )
        if len(node.inputs) < 3:
            node.resize_inputs(3)
        node.replace_input_with(2, bias)
    for old in (site.weight, site.bias):
        if old is not None and old.is_initializer() and not old.uses():
            graph.initializers.pop(old.name or "", None)
