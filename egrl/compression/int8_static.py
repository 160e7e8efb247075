"""Activations as bytes, their ranges calibrated: `int8:static`, `int4:...,activations=int8`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import onnx_ir as ir

from egrl.compression.error import relative_error
from egrl.compression.int8_weights import channel_record, convolution_weight
from graph_ir.compression.activations import BEST, CHOICES, RangeOptions, grids_of, observe
from graph_ir.compression.convolution import (
    ConvolutionSite,
    bias_safe_scale,
    emit_convolution,
    find_convolutions,
    fold_following_additions,
)
from graph_ir.compression.convolution_bias import MeanInput, mean_inputs, mean_shift
from graph_ir.compression.convolution_gptq import round_convolutions
from graph_ir.compression.grid import F32
from graph_ir.compression.method import Data
from graph_ir.compression.qdq import ActivationGrid, Writer
from graph_ir.compression.qdq_plan import StaticPlan, plan_static
from graph_ir.compression.qdq_static import emit_static_product, part_from_activation
from graph_ir.compression.qdq_tensors import quantize_tensors
from graph_ir.compression.qdq_weights import ChannelWeight, channel_scale, on_channels
from graph_ir.compression.sites import Site, find_sites
from graph_ir.onnx_values import node_name, op_key, shape_of, value_name
from graph_ir.passes.rewiring import constant_array
from runtime.compression import LayerRecord, SkippedRecord

FEEDBACK_BITS = 4
"""Width at which rounding by GPTQ pays."""

FLOAT = 0
"""Bits of a layer that stays as it is."""


@dataclass(frozen=True, slots=True)
class StaticRecord:
    """What was done.

    Attributes:
        layers: convolutions, then products.
        skipped: layers that stayed as they were.
        notes: how many tensors are bytes now, and which ranges they have.
    """

    layers: list[LayerRecord]
    skipped: list[SkippedRecord]
    notes: list[str]


def quantize_static(
    model: ir.Model,
    data: Data,
    ranges: RangeOptions,
    convolution_bits: int,
    product_bits: int,
    bits: Mapping[str, int],
    *,
    feedback: bool = False,
) -> StaticRecord:
    """Makes bytes of a model's tensors, and integers of its weights, in place.

    Products whose weights are integers of 4 bits in blocks already get bytes for activations.

    Args:
        model: of an opset that has the forms.
        data: calibration inputs and an engine.
        ranges: how they are taken.
        convolution_bits: of convolutions' weights: 4, 7 or 8; 0 leaves them as they are.
        product_bits: likewise of matrix products'.
        bits: instead of these, by name of the node.
        feedback: round convolutions of 4 bits by GPTQ instead of each entry to the nearest.

    Raises:
        InputError: a weight or an activation is not finite.
    """
    fold_following_additions(model.graph)
    chosen = ranges
    notes = (
        [] if data.given else ["ranges are those of drawn inputs; --calibration gives real ones"]
    )
    seen = observe(
        model, _plan(model.graph, convolution_bits, product_bits, bits).plan.ranges, data
    )

    rounded: dict[str, ChannelWeight] = {}
    if feedback:
        found = _plan(model.graph, convolution_bits, product_bits, bits)
        narrow = [site for site, width in found.convolutions if width == FEEDBACK_BITS]
        for site in narrow:
            convolution_weight(site)  # refuses what is not finite
        rounded = round_convolutions(model, narrow, FEEDBACK_BITS, data)

    def quantize(target: ir.Model, choice: RangeOptions) -> StaticRecord:
        found = _plan(target.graph, convolution_bits, product_bits, bits)
        return _quantize(target, found, grids_of(seen, choice), data, rounded)

    if ranges.range == BEST:
        chosen, note = _best_range(model, ranges, data, quantize)
        notes.append(note)
    record = quantize(model, chosen)
    return replace(record, notes=[*record.notes, *notes])


def _best_range(
    model: ir.Model,
    ranges: RangeOptions,
    data: Data,
    quantize: Callable[[ir.Model, RangeOptions], StaticRecord],
) -> tuple[RangeOptions, str]:
    """The choice whose model has the least error on the calibration inputs."""
    outputs = [value_name(value) for value in model.graph.outputs]
    expected = data.runner.run(model, data.samples, outputs)
    errors: dict[str, float] = {}
    for choice in CHOICES:
        trial = model.clone()
        quantize(trial, replace(ranges, range=choice))
        errors[choice] = relative_error(expected, data.runner.run(trial, data.samples, outputs))
    best = min(CHOICES, key=errors.__getitem__)
    text = ", ".join(f"{choice} {errors[choice]:.4g}" for choice in CHOICES)
    return replace(ranges, range=best), f"ranges by {best}; errors of the outputs: {text}"


@dataclass(frozen=True, slots=True)
class _Found:
    """What of a graph becomes integers.

    Attributes:
        convolutions: with the bits of each.
        products: likewise.
        blocked: products whose weights are integers already.
        skipped: what stays.
        plan: of tensors.
    """

    convolutions: tuple[tuple[ConvolutionSite, int], ...]
    products: tuple[tuple[Site, int], ...]
    blocked: tuple[ir.Node, ...]
    skipped: list[SkippedRecord]
    plan: StaticPlan


def _plan(
    graph: ir.Graph, convolution_bits: int, product_bits: int, bits: Mapping[str, int]
) -> _Found:
    convolutions, skipped = find_convolutions(graph)
    sites = find_sites(graph)
    blocked = tuple(blocked_products(graph))
    inside = {node_name(node) for node in blocked}
    left = [
        SkippedRecord(each.name, each.reason)
        for each in (*skipped, *sites.skipped)
        if each.name not in inside
    ]
    wanted = [(site, bits.get(site.name, convolution_bits)) for site in convolutions]
    products = [(site, bits.get(site.name, product_bits)) for site in sites.found]
    kept = [site.name for site, width in wanted if not width]
    kept += [site.name for site, width in products if not width]
    left += [SkippedRecord(name, "kept as it is") for name in kept]
    wanted = [(site, width) for site, width in wanted if width]
    products = [(site, width) for site, width in products if width]
    readers = [node for site, _ in products for node in (site.node, *site.shared)]
    plan = plan_static(graph, [site.node for site, _ in wanted], [*readers, *blocked])
    return _Found(tuple(wanted), tuple(products), blocked, left, plan)


def _quantize(
    model: ir.Model,
    found: _Found,
    grids: Mapping[str, ActivationGrid],
    data: Data,
    rounded: Mapping[str, ChannelWeight],
) -> StaticRecord:
    graph, plan = model.graph, found.plan
    read = {site.name: value_name(_input(site)) for site, _ in found.convolutions}
    on = {
        value_name(_input(site)): grids[value_name(plan.grid_of[_input(site)])]
        for site, _ in found.convolutions
    }
    means = mean_inputs(model, on, data)
    done = quantize_tensors(graph, plan, grids)
    writer = Writer(graph)
    layers = []
    for site, bits in found.convolutions:
        name = read[site.name]
        chosen = rounded.get(site.name)
        layers.append(_convolution(writer, site, bits, on[name], means[name], chosen))
    layers += [_product(writer, site, bits) for site, bits in found.products]
    for node in found.blocked:
        part_from_activation(writer, node)
    note = f"{done.tensors} tensors are bytes, {done.clamps} clamps are implied by their ranges"
    return StaticRecord(layers, found.skipped, [note])


def blocked_products(graph: ir.Graph) -> list[ir.Node]:
    """Products whose weight is stored as integers in blocks, and whose input is floats."""
    found = []
    for node in graph:
        if op_key(node) not in ("MatMul", "Gemm") or node.inputs[1] is None:
            continue
        weight = node.inputs[1].producer()
        if weight is None or op_key(weight) != "DequantizeLinear":
            continue
        source = node.inputs[0]
        if weight.attributes.get_int("block_size", 0) and source is not None:
            producer = source.producer()
            if producer is None or op_key(producer) != "DequantizeLinear":
                found.append(node)
    return found


def _input(site: ConvolutionSite) -> ir.Value:
    source = site.node.inputs[0]
    assert source is not None
    return source


def _convolution(
    writer: Writer,
    site: ConvolutionSite,
    bits: int,
    grid: ActivationGrid,
    mean: MeanInput,
    chosen: ChannelWeight | None,
) -> LayerRecord:
    weight = convolution_weight(site)
    bias_C = _bias(site)
    wanted_C = channel_scale(weight, 0, bits) if chosen is None else chosen.scale_C
    scale_C = bias_safe_scale(wanted_C, bias_C, grid.scale)
    if chosen is not None and np.array_equal(scale_C, chosen.scale_C):
        quantized = chosen
    else:
        quantized = on_channels(weight, 0, bits, scale_C)
    groups = site.node.attributes.get_int("group", 1)
    bias_C = bias_C - mean_shift(weight, quantized.dequantized(), mean, groups)
    emit_convolution(writer, site, quantized, bias_C, grid)
    return channel_record(site.name, weight, quantized)


def _bias(site: ConvolutionSite) -> F32:
    array = constant_array(site.bias)
    if array is None:
        return np.zeros(shape_of(site.weight)[0], np.float32)
    return array.astype(np.float32)


def _product(writer: Writer, site: Site, bits: int) -> LayerRecord:
    weight_KN = site.weight_KN()
    quantized = on_channels(weight_KN, 1, bits, channel_scale(weight_KN, 1, bits))
    emit_static_product(writer, site, quantized)
    return channel_record(site.name, weight_KN, quantized)
