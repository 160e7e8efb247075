"""Matrix products of bytes whose activations are quantized while the model runs.

`DynamicQuantizeLinear -> MatMulInteger -> Cast -> Mul(activation scale * weight scales)`: standard
ops of opset 11. onnxruntime fuses them, and an addition of a bias behind them, to
DynamicQuantizeMatMul; where several products read one tensor, it is quantized once.
"""

from collections.abc import Sequence

import onnx_ir as ir

from graph_ir.compression.gemm import normalize
from graph_ir.compression.packing import drop_unused
from graph_ir.compression.qdq import Writer, first_reader, take_over
from graph_ir.compression.qdq_weights import ChannelWeight, stored_levels
from graph_ir.compression.sites import Site
from graph_ir.onnx_values import node_name, op_key, shape_of, value_name
from graph_ir.passes.rewiring import graph_of


class DynamicProducts:
    """Turns products of one graph into dynamic ones."""

    def __init__(self, graph: ir.Graph) -> None:
        self._writer = Writer(graph)
        self._quantized: dict[ir.Value, Sequence[ir.Value]] = {}

    def emit(self, site: Site, weight: ChannelWeight) -> None:
        """Puts dynamic products in the place of a site's, and drops the weight that none reads.

        Args:
            site: changed in place.
            weight: `[K, N]`, scales along axis 1.
        """
        graph = graph_of(site.node)
        for node in (site.node, *site.shared):
            self._product(node, site, weight)
        drop_unused(graph, site.weight)

    def _product(self, node: ir.Node, site: Site, weight: ChannelWeight) -> None:
        writer, name, source = self._writer, node_name(node), node.inputs[0]
        assert source is not None
        levels, scale, zero = self._bytes(node, source)
        bias = product_bias(node, site)
        stored = stored_levels(writer, node, f"{name}.weight", weight)
        scales = writer.constant(f"{name}.weight.scale", weight.scale_C, ir.DataType.FLOAT)
        shape, floats = shape_of(node.outputs[0]), ir.DataType.FLOAT
        steps: list[tuple[str, list[ir.Value], str, ir.DataType, tuple[int, ...]]] = [
            ("MatMulInteger", [levels, stored, zero], "integer", ir.DataType.INT32, shape),
            ("Cast", [], "float", floats, shape),
            ("Mul", [scale, scales], "scales", floats, weight.scale_C.shape),
        ]
        made: list[ir.Value] = []
        for op_type, inputs, step, dtype, extents in steps:
            attributes = {"to": int(floats)} if op_type == "Cast" else {}
            (value,) = writer.node(
                node, op_type, inputs or made[-1:], f"{name}/{step}", [dtype], [extents], attributes
            )
            made.append(value)
        (result,) = writer.node(node, "Mul", made[1:], f"{name}/scaled", [floats], [shape])
        if bias is not None:
            (result,) = writer.node(node, "Add", [result, bias], f"{name}/bias", [floats], [shape])
        take_over(node, result)

    def _bytes(self, node: ir.Node, source: ir.Value) -> Sequence[ir.Value]:
        """Bytes, scale and zero point of what a product reads, in front of its first reader."""
        found = self._quantized.get(source)
        if found is None:
            types = [ir.DataType.UINT8, ir.DataType.FLOAT, ir.DataType.UINT8]
            found = self._writer.node(
                first_reader(source),
                "DynamicQuantizeLinear",
                [source],
                f"{value_name(source)}/quantize",
                types,
                [shape_of(source), (), ()],
            )
            self._quantized[source] = found
        return found


def product_bias(node: ir.Node, site: Site) -> ir.Value | None:
    """What a Gemm adds, made one number a column; None for nothing.

    Args:
        node: of the site, or sharing its weight; its alpha and beta are taken out.
        site: whose weight has the alpha in it.
    """
    normalize(node, site.columns, site.transposed)
    return node.inputs[2] if op_key(node) == "Gemm" and len(node.inputs) > 2 else None
