"""Weights of products and convolutions as one scale per output channel takes them."""

import numpy as np

from graph_ir.compression.convolution import ConvolutionSite
from graph_ir.compression.grid import F32
from graph_ir.compression.qdq_dynamic import product_factor
from graph_ir.compression.qdq_weights import ChannelWeight, checked
from graph_ir.compression.sites import Site
from graph_ir.onnx_values import value_name
from runtime.compression import LayerRecord


def product_weight(site: Site) -> F32:
    """The weight of a product, `[K, N]`, a Gemm's factor in it."""
    return np.asarray(site.weight_KN() * np.float32(product_factor(site)), np.float32)


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
