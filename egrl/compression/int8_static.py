"""Activations as bytes, their ranges calibrated: `int8:static`, `int4:...,activations=int8`."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from egrl.compression.int8_weights import channel_record, convolution_weight
from graph_ir.compression.activations import RangeOptions, grids_of, observe
from graph_ir.compression.convolution import (
    ConvolutionSite,
    bias_safe_scale,
    emit_convolution,
    find_convolutions,
    fold_following_additions,
)
from graph_ir.compression.convolution_bias import MeanInput, mean_inputs, mean_shift
from graph_ir.compression.grid import F32
from graph_ir.compression.method import Data
from graph_ir.compression.qdq import ActivationGrid, Writer
from graph_ir.compression.qdq_plan import plan_static
from graph_ir.compression.qdq_static import emit_static_product, part_from_activation
from graph_ir.compression.qdq_tensors import quantize_tensors
from graph_ir.compression.qdq_weights import channel_scale, on_channels
from graph_ir.compression.sites import Site, find_sites
from graph_ir.onnx_values import node_name, op_key, shape_of, value_name
from graph_ir.passes.rewiring import constant_array
from runtime.compression import LayerRecord, SkippedRecord

FLOAT = 0
"""Bits of a layer that stays as it is."""


@dataclass(frozen=True, slots=True)
class StaticRecord:
    """What was done.

    Attributes:
        layers: convolutions, then products.
        skipped: layers that stayed as they were.
        note: how many tensors are bytes now.
    """

    layers: list[LayerRecord]
    skipped: list[SkippedRecord]
    note: str


def quantize_static(
    model: ir.Model,
    data: Data,
    ranges: RangeOptions,
    convolution_bits: int,
    product_bits: int,
    bits: Mapping[str, int],
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

    Raises:
        InputError: a weight or an activation is not finite.
    """
    graph = model.graph
    fold_following_additions(graph)
    convolutions, skipped = find_convolutions(graph)
    sites = find_sites(graph)
    kept = [
        *(site.name for site in convolutions if not bits.get(site.name, convolution_bits)),
        *(site.name for site in sites.found if not bits.get(site.name, product_bits)),
    ]
    convolutions = tuple(site for site in convolutions if site.name not in kept)
    products = tuple(site for site in sites.found if site.name not in kept)
    blocked = blocked_products(graph)
    plan = plan_static(
        graph,
        [site.node for site in convolutions],
        [*(node for site in products for node in (site.node, *site.shared)), *blocked],
    )
    grids = grids_of(observe(model, plan.ranges, data), ranges)
    of_input = {site.name: grids[value_name(plan.grid_of[_input(site)])] for site in convolutions}
    means = mean_inputs(model, {_name(site): of_input[site.name] for site in convolutions}, data)
    mean_of = {site.name: means[_name(site)] for site in convolutions}
    done = quantize_tensors(graph, plan, grids)
    writer = Writer(graph)
    layers = [
        _convolution(
            writer,
            site,
            bits.get(site.name, convolution_bits),
            of_input[site.name],
            mean_of[site.name],
        )
        for site in convolutions
    ]
    layers += [_product(writer, site, bits.get(site.name, product_bits)) for site in products]
    for node in blocked:
        part_from_activation(writer, node)
    left = {node_name(node) for node in blocked}
    return StaticRecord(
        layers,
        [
            *(
                SkippedRecord(s.name, s.reason)
                for s in (*skipped, *sites.skipped)
                if s.name not in left
            ),
            *(SkippedRecord(name, "kept as it is") for name in kept),
        ],
        f"{done.tensors} tensors are bytes, {done.clamps} clamps are implied by their ranges",
    )


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


def _name(site: ConvolutionSite) -> str:
    return value_name(_input(site))


def _convolution(
    writer: Writer, site: ConvolutionSite, bits: int, grid: ActivationGrid, mean: MeanInput
) -> LayerRecord:
    weight = convolution_weight(site)
    bias_C = _bias(site)
    scale_C = bias_safe_scale(channel_scale(weight, 0, bits), bias_C, grid.scale)
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
