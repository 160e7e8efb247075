"""Convolutions of bytes as choices: weights of 8 or 4 bits with a scale per output channel.

There is no kernel of convolutions with float activations and integer weights, nor one that writes
floats: whichever convolution is chosen reads and writes bytes, and what lies between two of them
and only moves, pools or adds moves bytes as well (`qdq_plan.py`).
"""

from collections.abc import Mapping, Sequence

import numpy as np
import onnx_ir as ir

from egrl.compression.int8_weights import channel_record, convolution_weight
from graph_ir.compression.convolution import (
    ConvolutionSite,
    bias_safe_scale,
    emit_convolution,
    find_convolutions,
)
from graph_ir.compression.convolution_bias import MeanInput, mean_inputs, mean_shift
from graph_ir.compression.grid import F32
from graph_ir.compression.method import Data
from graph_ir.compression.qdq import ActivationGrid, Writer
from graph_ir.compression.qdq_weights import ChannelWeight, channel_scale, on_channels
from graph_ir.onnx_values import shape_of, value_name
from graph_ir.passes.rewiring import constant_array
from runtime.compression import LayerRecord

Means = Mapping[str, MeanInput]
"""Of the inputs of convolutions, by the input's name."""

Sites = tuple[ConvolutionSite, ...]


def convolutions_of(model: ir.Model) -> Sites:
    """The convolutions whose precision is chosen, in the order of the graph."""
    return find_convolutions(model.graph)[0]


def input_of(site: ConvolutionSite) -> ir.Value:
    """What a convolution reads."""
    source = site.node.inputs[0]
    assert source is not None
    return source


def bias_of(site: ConvolutionSite) -> F32:
    """Its bias, zeros for none."""
    array = constant_array(site.bias)
    if array is None:
        return np.zeros(shape_of(site.weight)[0], np.float32)
    return np.asarray(array, np.float32)


def measured_means(model: ir.Model, ranges: Mapping[str, ActivationGrid], data: Data) -> Means:
    """Means of what the convolutions read, exact and rounded.

    Args:
        model: run as it is.
        ranges: of the tensors, by name.
        data: calibration inputs and an engine.
    """
    names = [value_name(input_of(site)) for site in convolutions_of(model)]
    return mean_inputs(model, {name: ranges[name] for name in names}, data)


def rounded(
    site: ConvolutionSite, bits: int, means: Means, scale_of_input: float
) -> tuple[ChannelWeight, F32]:
    """A convolution's weight in integers, and its bias with the mean result as it was.

    Args:
        site: with its float weight.
        bits: of the weight.
        means: of its input.
        scale_of_input: for the bias to be an integer of 32 bits.

    Raises:
        InputError: the weight is not finite.
    """
    weight, bias_C = convolution_weight(site), bias_of(site)
    scale_C = bias_safe_scale(channel_scale(weight, 0, bits), bias_C, scale_of_input)
    quantized = on_channels(weight, 0, bits, scale_C)
    groups = site.node.attributes.get_int("group", 1)
    mean = means[value_name(input_of(site))]
    return quantized, bias_C - mean_shift(weight, quantized.dequantized(), mean, groups)


def emit_zeros(writer: Writer, sites: Sequence[ConvolutionSite], bits: Mapping[str, int]) -> None:
    """Gives convolutions integers of the right extents; their values do not matter.

    Args:
        writer: of the graph.
        sites: that read bytes already; changed in place.
        bits: of the weights, by name of the site.
    """
    for site in sites:
        shape = shape_of(site.weight)
        scale_C = np.ones(shape[0], np.float32)
        weight = ChannelWeight(bits[site.name], 0, np.zeros(shape, np.int8), scale_C)
        # The mean shift makes a bias of every convolution.
        emit_convolution(writer, site, weight, scale_C, ActivationGrid(1.0, 0))


def emit_rounded(
    writer: Writer,
    sites: Sequence[ConvolutionSite],
    weights: Mapping[str, tuple[ChannelWeight, F32]],
    inputs: Mapping[str, ActivationGrid],
) -> list[LayerRecord]:
    """Gives convolutions their integers.

    Args:
        writer: of the graph.
        sites: that read bytes already; changed in place.
        weights: and biases, from `rounded`, by name of the site.
        inputs: grids of what they read, likewise.
    """
    layers = []
    for site in sites:
        weight = convolution_weight(site)
        quantized, bias_C = weights[site.name]
        emit_convolution(writer, site, quantized, bias_C, inputs[site.name])
        layers.append(channel_record(site.name, weight, quantized))
    return layers
