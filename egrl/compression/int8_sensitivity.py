"""Which convolutions need more bits: the error of the outputs when one alone is rounded."""

from collections.abc import Mapping

import numpy as np
import onnx_ir as ir

from egrl.compression.error import relative_error
from egrl.compression.int8_weights import convolution_weight
from graph_ir.compression.convolution import ConvolutionSite, find_convolutions
from graph_ir.compression.convolution_bias import MeanInput, mean_inputs, mean_shift
from graph_ir.compression.method import Data
from graph_ir.compression.qdq import Writer
from graph_ir.compression.qdq_weights import channel_scale, on_channels
from graph_ir.onnx_values import element_count, value_name
from graph_ir.passes.rewiring import constant_array

# Samples that are run for every convolution.
_RUN_SAMPLES = 2


def sensitive_convolutions(model: ir.Model, bits: int, share: float, data: Data) -> tuple[str, ...]:
    """The names of those whose bits are best spent: most squared error an entry, worst first.

    Args:
        model: left as it was.
        bits: of the one whose weight is rounded.
        share: of all entries of convolutions' weights that they may have together.
        data: inputs to measure on.
    """
    sizes = {site.name: element_count(site.weight) for site in find_convolutions(model.graph)[0]}
    errors = convolution_errors(model, bits, data)
    ordered = sorted(errors, key=lambda name: (-(errors[name] ** 2) / sizes[name], name))
    room = share * sum(sizes.values())
    chosen: list[str] = []
    for name in ordered:
        if sizes[name] <= room:
            chosen.append(name)
            room -= sizes[name]
    return tuple(chosen)


def convolution_errors(model: ir.Model, bits: int, data: Data) -> dict[str, float]:
    """Relative error of the outputs by the convolution whose weight alone is rounded.

    Its bias is corrected as it will be; activations are not rounded.

    Args:
        model: left as it was.
        bits: of the weight, with a scale per output channel.
        data: inputs to measure on.
    """
    sites, _ = find_convolutions(model.graph)
    if not sites:
        return {}
    outputs = [value_name(value) for value in model.graph.outputs]
    samples = data.samples[:_RUN_SAMPLES]
    expected = data.runner.run(model, samples, outputs)
    means = mean_inputs(model, dict.fromkeys(_input_name(site) for site in sites), data)
    trial = model.clone()
    errors: dict[str, float] = {}
    for site in find_convolutions(trial.graph)[0]:
        inputs = list(site.node.inputs)
        _round(Writer(trial.graph), site, bits, means)
        errors[site.name] = relative_error(expected, data.runner.run(trial, samples, outputs))
        for at, value in enumerate(site.node.inputs):
            if value is not None and value.is_initializer() and value not in inputs:
                site.node.replace_input_with(at, inputs[at] if at < len(inputs) else None)
                trial.graph.initializers.pop(value.name or "", None)
    return errors


def _input_name(site: ConvolutionSite) -> str:
    source = site.node.inputs[0]
    assert source is not None
    return value_name(source)


def _round(
    writer: Writer, site: ConvolutionSite, bits: int, means: Mapping[str, MeanInput]
) -> None:
    """Gives a convolution a rounded weight and a corrected bias, as floats."""
    weight, node = convolution_weight(site), site.node
    rounded = on_channels(weight, 0, bits, channel_scale(weight, 0, bits)).dequantized()
    groups = node.attributes.get_int("group", 1)
    bias = constant_array(site.bias)
    before = np.zeros(weight.shape[0], np.float32) if bias is None else bias.astype(np.float32)
    after = before - mean_shift(weight, rounded, means[_input_name(site)], groups)
    if len(node.inputs) < 3:
        node.resize_inputs(3)
    for at, array in ((1, rounded), (2, after)):
        node.replace_input_with(
            at, writer.constant(f"{site.name}.trial{at}", array, ir.DataType.FLOAT)
        )
