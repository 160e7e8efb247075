"""Matrix products of bytes whose activations are quantized while the model runs.

`DynamicQuantizeLinear -> MatMulInteger -> Cast -> Mul(activation scale * weight scales)`: standard
ops of opset 11. onnxruntime fuses them, and an addition of a bias behind them, to
DynamicQuantizeMatMul; where several products read one tensor, it is quantized once.
"""

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from graph_ir.compression.qdq import Writer, take_over
from graph_ir.compression.qdq_weights import ChannelWeight, stored_levels
from graph_ir.compression.sites import Site
from graph_ir.onnx_values import op_key, shape_of, value_name
from graph_ir.passes.rewiring import graph_of

OPSET = 11


class DynamicProducts:
    """Turns products of one graph into dynamic ones."""

    def __init__(self, graph: ir.Graph) -> None:
        self._writer = Writer(graph)
        self._quantized: dict[ir.Value, Sequence[ir.Value]] = {}

    def emit(self, site: Site, weight: ChannelWeight) -> None:
        """Puts a dynamic product in the place of a site.

        Args:
            site: in topological order after those of earlier calls; changed in place.
            weight: `[K, N]`, scales along axis 1, any factor of the product in them.
        """
        node, writer, name = site.node, self._writer, site.name
        levels, scale, zero = self._bytes(site)
        stored = stored_levels(writer, node, f"{name}.weight", weight)
        shape = shape_of(node.outputs[0])
        (sums,) = writer.node(
            node,
            "MatMulInteger",
            [levels, stored, zero],
            f"{name}/integer",
            [ir.DataType.INT32],
            [shape],
        )
        (floats,) = writer.node(
            node,
            "Cast",
            [sums],
            f"{name}/float",
            [ir.DataType.FLOAT],
            [shape],
            {"to": int(ir.DataType.FLOAT)},
        )
        scales = writer.constant(f"{name}.weight.scale", weight.scale_C, ir.DataType.FLOAT)
        (product,) = writer.node(
            node,
            "Mul",
            [scale, scales],
            f"{name}/scales",
            [ir.DataType.FLOAT],
            [weight.scale_C.shape],
        )
        (result,) = writer.node(
            node,
            "Mul",
            [floats, product],
            f"{name}/scaled",
            [ir.DataType.FLOAT],
            [shape],
        )
        bias = gemm_bias(writer, node)
        if bias is not None:
            (result,) = writer.node(
                node, "Add", [result, bias], f"{name}/bias", [ir.DataType.FLOAT], [shape]
            )
        finish_product(site, result)

    def _bytes(self, site: Site) -> Sequence[ir.Value]:
        """Bytes, scale and zero point of a site's input."""
        found = self._quantized.get(site.input)
        if found is None:
            types = [ir.DataType.UINT8, ir.DataType.FLOAT, ir.DataType.UINT8]
            found = self._writer.node(
                site.node,
                "DynamicQuantizeLinear",
                [site.input],
                f"{value_name(site.input)}/quantize",
                types,
                [shape_of(site.input), (), ()],
            )
            self._quantized[site.input] = found
        return found


def product_factor(site: Site) -> float:
    """What a Gemm multiplies its product with."""
    return site.node.attributes.get_float("alpha", 1.0) if op_key(site.node) == "Gemm" else 1.0


def gemm_bias(writer: Writer, node: ir.Node) -> ir.Value | None:
    """What a Gemm adds to its product, its factor in it; None for nothing."""
    if op_key(node) != "Gemm" or len(node.inputs) < 3 or node.inputs[2] is None:
        return None
    bias = node.inputs[2]
    factor = node.attributes.get_float("beta", 1.0)
    if factor == 1.0:
        return bias
    scale = writer.constant(
        f"{value_name(bias)}.beta", np.array(factor, np.float32), ir.DataType.FLOAT
    )
    (scaled,) = writer.node(
        node,
        "Mul",
        [bias, scale],
        f"{value_name(bias)}/beta",
        [ir.DataType.FLOAT],
        [shape_of(bias)],
    )
    return scaled


def finish_product(site: Site, result: ir.Value) -> None:
    """Lets a value stand for a product, which goes, with its weight where nobody else reads it."""
    graph = graph_of(site.node)
    take_over(site.node, result)
    if site.weight.is_initializer() and not site.weight.uses():
        graph.initializers.pop(site.weight.name or "", None)
