"""Weights of products and convolutions as one scale per output channel takes them."""

import numpy as np
import onnx_ir as ir

from graph_ir.compression.convolution import ConvolutionSite
from graph_ir.compression.embedding import find_tables
from graph_ir.compression.existing import Bytes, emit_byte_table
from graph_ir.compression.grid import F32
from graph_ir.compression.qdq_weights import ChannelWeight, channel_scale, checked, on_channels
from graph_ir.compression.sites import find_sites
from graph_ir.onnx_values import value_name
from runtime.compression import LayerRecord, SkippedRecord


def convolution_weight(site: ConvolutionSite) -> F32:
    """The weight of a convolution.

    Raises:
        InputError: it holds a NaN or an infinity.
    """
    tensor = site.weight.const_value
    assert tensor is not None
    return checked(tensor.numpy(), value_name(site.weight), site.name)


def channel_record(name: str, weight: F32, quantized: ChannelWeight) -> LayerRecord:
    """Size and error of a weight with a scale per output channel."""
    channels = max(quantized.scale_C.size, 1)
    error = np.square(quantized.dequantized() - weight).sum(dtype=np.float64)
    square = np.square(weight).sum(dtype=np.float64) or 1.0
    return LayerRecord(
        name,
        quantized.bits,
        weight.size // channels,
        quantized.stored_bits,
        weight.size,
        float(np.sqrt(error / square)),
    )


def quantize_tables(model: ir.Model, bits: int) -> tuple[list[LayerRecord], list[SkippedRecord]]:
    """Stores embeddings that no product shares as bytes, with a scale a row.

    Args:
        model: of opset 21 or later; changed in place.
        bits: 8, or 0 to leave them.
    """
    tables = find_tables(model.graph, find_sites(model.graph).found)
    if not bits:
        return [], [
            SkippedRecord(table.name, "embeddings=float leaves it") for table in tables.found
        ]
    layers = []
    for table in tables.found:
        weight_KN = table.weight_KN()
        quantized = on_channels(weight_KN, 1, bits, channel_scale(weight_KN, 1, bits))
        layers.append(channel_record(table.name, weight_KN, quantized))
        emit_byte_table(table, Bytes(quantized.levels, quantized.scale_C))
    return layers, [SkippedRecord(left.name, left.reason) for left in tables.skipped]
