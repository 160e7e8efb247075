"""Writes a quantized weight into the graph, in the one form that onnxruntime fuses.

`DequantizeLinear(integers [K, N], Cast(scales), zeros; axis 0, block_size) -> MatMul`: standard
ops of opset 21, which onnxruntime fuses to MatMulNBits from the `extended` level on. Weights as
`[N, K]` behind a Transpose, Gemm with transB, alpha, beta or another bias than `[N]`, and integers
or scales that two nodes read are dequantized on every call instead, a hundred times slower: such a
Gemm is turned around here, and every product has constants of its own (equal bytes are stored
once). Scales are stored as float16; the Cast is folded when a session is made.
"""

import numpy as np
import onnx_ir as ir

from graph_ir.compression.embedding import emit_lookups
from graph_ir.compression.entries_emit import emit_entries
from graph_ir.compression.gemm import normalize
from graph_ir.compression.grid import QuantizedWeight
from graph_ir.compression.packing import Packed, drop_unused, named_node, needed_opset, pack
from graph_ir.compression.packing import packed_constant as packed_constant
from graph_ir.compression.sites import Site
from graph_ir.errors import InputError
from graph_ir.onnx_values import value_name
from graph_ir.passes.rewiring import Names, graph_of

__all__ = ["dequantized_value", "emit", "needed_opset", "packed_constant"]


def emit(site: Site, quantized: QuantizedWeight, names: Names | None = None) -> None:
    """Puts a quantized weight in the place of a site's, for all nodes that read it.

    Args:
        site: of a graph of at least `needed_opset`; changed in place.
        quantized: of the site's extents; without entries where the site has tables.
        names: of the graph, for whoever emits many.

    Raises:
        InputError: a scale is not finite.
    """
    graph, stem = graph_of(site.node), site.weight.name or site.name
    if not np.isfinite(quantized.scale_GN).all():
        raise InputError(
            f"weight {value_name(site.weight)} of {site.name}: expected finite float16 scales, "
            "got NaN or infinity"
        )
    assert quantized.entries is None or not site.tables, site.name
    read = [node.inputs[0] for node in site.tables]
    for at, node in enumerate((site.node, *site.shared)):
        packed = pack(graph, stem, quantized, names=names)
        if at == 0 and site.tables:
            emit_lookups(site.tables, packed, quantized, rows_first=False)
        normalize(node, site.columns, site.transposed)
        node.replace_input_with(1, _dequantized(graph, node, stem, packed, quantized, names))
        if quantized.entries is not None and len(quantized.entries.value_P):
            emit_entries(node, stem, quantized.entries, site.inner, site.columns)
    for value in dict.fromkeys([site.weight, *read]):
        if value is not None:
            drop_unused(graph, value)


def dequantized_value(
    graph: ir.Graph, before: ir.Node, stem: str, quantized: QuantizedWeight
) -> ir.Value:
    """The `[K, N]` float32 value of a quantized weight, its nodes inserted before one."""
    return _dequantized(graph, before, stem, pack(graph, stem, quantized), quantized)


def _dequantized(
    graph: ir.Graph,
    before: ir.Node,
    stem: str,
    packed: Packed,
    quantized: QuantizedWeight,
    names: Names | None = None,
) -> ir.Value:
    names = names or Names(graph)
    wide = named_node(
        graph,
        "Cast",
        [packed.scale],
        {"to": ir.DataType.FLOAT},
        f"{stem}.scale32",
        quantized.scale_GN.shape,
        ir.DataType.FLOAT,
        names,
    )
    zeros = [] if packed.zero is None else [packed.zero]
    whole = named_node(
        graph,
        "DequantizeLinear",
        [packed.levels, wide.outputs[0], *zeros],
        {"axis": 0, "block_size": quantized.grid.group},
        f"{stem}.dequantized",
        quantized.levels_KN.shape,
        ir.DataType.FLOAT,
        names,
    )
    graph.insert_before(before, [wide, whole])
    return whole.outputs[0]
