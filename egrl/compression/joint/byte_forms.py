"""Products that read their activations as bytes: the precisions of `activations=float/int8`.

Two forms: weights of 8 bits with a scale per output channel (`8a8`), and weights of 4 bits in
blocks (`4x32a8`). Convolutions have the same two, both with a scale per output channel
(`byte_convolutions.py`). Activations are rounded with ranges that calibration inputs gave, once for
all products that read a tensor so; others go on reading its floats.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import onnx_ir as ir

from egrl.compression.int8_weights import channel_record
from egrl.compression.joint.byte_convolutions import (
    Means,
    Sites,
    convolutions_of,
    emit_rounded,
    emit_zeros,
    input_of,
    rounded,
)
from graph_ir.compression.activations import RangeOptions, grids_of, observe
from graph_ir.compression.clamps import unclamp
from graph_ir.compression.grid import F32, Grid
from graph_ir.compression.method import Data
from graph_ir.compression.qdq import ActivationGrid, Writer
from graph_ir.compression.qdq_plan import plan_static
from graph_ir.compression.qdq_static import emit_static_product, part_from_activation
from graph_ir.compression.qdq_tensors import quantize_tensors
from graph_ir.compression.qdq_weights import ChannelWeight, channel_scale, on_channels
from graph_ir.compression.sites import Site, find_sites
from graph_ir.onnx_values import node_name, op_key, value_name
from runtime.compression import LayerRecord

OPSET = 21
"""The first that has both forms."""

BLOCKED_BITS = 4
"""Of weights in blocks that onnxruntime multiplies with bytes."""

CHANNEL_BITS = 8
"""Of weights with a scale per output channel."""

Ranges = Mapping[str, ActivationGrid]
"""Of the tensors that may become bytes, by name."""

UNIT = ActivationGrid(1.0, 0)
"""A grid for where values do not matter."""


@dataclass(frozen=True, slots=True)
class ByteForm:
    """Weights of a product whose activations are bytes.

    Attributes:
        grid: of weights in blocks; None for a scale per output channel.
    """

    grid: Grid | None

    @property
    def bits(self) -> int:
        """Of a weight's entry."""
        return CHANNEL_BITS if self.grid is None else self.grid.bits

    @property
    def name(self) -> str:
        """Bits and group of the weight, then the activations."""
        if self.grid is None:
            return f"{CHANNEL_BITS}a8"
        return f"{self.grid.bits}x{self.grid.group}a8"


def byte_forms(grids: Sequence[Grid]) -> tuple[ByteForm, ...]:
    """The forms with activations of bytes that stand beside grids."""
    forms = [ByteForm(None)] if any(grid.bits == CHANNEL_BITS for grid in grids) else []
    return (*forms, *(ByteForm(grid) for grid in grids if grid.bits == BLOCKED_BITS))


def sites_of(model: ir.Model) -> tuple[Site, ...]:
    """The sites whose precision is chosen, in the order of the graph.

    A tied embedding stays as it is and its product gets integers of its own: looking up rows costs
    no time worth choosing for, and ops would come and go with the precision.
    """
    return tuple(replace(site, tables=()) for site in find_sites(model.graph).found)


def nodes_of(site: Site) -> tuple[str, ...]:
    """Names of all nodes that a site's precision changes."""
    return tuple(node_name(node) for node in (site.node, *site.shared))


def product_name(node: str) -> str:
    """What `emit_static_product` calls the product that takes a node's place."""
    return f"{node}/product"


def channel_weight(site: Site) -> ChannelWeight:
    """A site's weight with a scale per output channel.

    Raises:
        InputError: it is not finite.
    """
    return on_channels_of(site.weight_KN())


def on_channels_of(weight_KN: F32) -> ChannelWeight:
    """A weight with a scale per output channel, each entry rounded to the nearest."""
    return on_channels(weight_KN, 1, CHANNEL_BITS, channel_scale(weight_KN, 1, CHANNEL_BITS))


def zero_weight(site: Site) -> ChannelWeight:
    """Integers of a site's extents, all zero."""
    levels_KN = np.zeros((site.inner, site.columns), np.int8)
    return ChannelWeight(CHANNEL_BITS, 1, levels_KN, np.ones(site.columns, np.float32))


@dataclass(frozen=True, slots=True)
class Emitted:
    """What was given bytes and what is still to get its integers.

    Attributes:
        writer: of the graph.
        weights: of products with a scale per output channel, by name of the site.
        convolutions: that read bytes; their weights are floats yet.
        inputs: grids of what these read, by name.
    """

    writer: Writer
    weights: dict[str, ChannelWeight]
    convolutions: Sites
    inputs: dict[str, ActivationGrid]


def emit_bytes(
    model: ir.Model,
    forms: Mapping[str, ByteForm],
    nodes: Mapping[str, tuple[str, ...]],
    ranges: Ranges | None,
    weigh: Callable[[Site], ChannelWeight],
) -> Emitted:
    """Gives products activations of bytes and lets convolutions read and write bytes, in place.

    Args:
        model: of `OPSET`; weights in blocks are integers already.
        forms: by name of the site.
        nodes: of every site, before anything was quantized.
        ranges: of the activations; None where their values do not matter.
        weigh: gives the weight of a site that has scales per output channel.
    """
    graph = model.graph
    convolutions = tuple(site for site in convolutions_of(model) if site.name in forms)
    inside = {site.name for site in convolutions}
    wanted = {node for name in forms if name not in inside for node in nodes[name]}
    readers = [node for node in graph if node_name(node) in wanted]
    blocked = {
        node
        for name, form in forms.items()
        if form.grid is not None and name not in inside
        for node in nodes[name]
    }
    channels = [
        site for site in sites_of(model) if site.name in forms and forms[site.name].grid is None
    ]
    plan = plan_static(graph, [site.node for site in convolutions], readers)
    grids = {name: UNIT if ranges is None else ranges[name] for name in plan.ranges}
    inputs = {site.name: grids[value_name(plan.grid_of[input_of(site)])] for site in convolutions}
    quantize_tensors(graph, plan, grids)
    writer = Writer(graph)
    weights = {}
    for site in channels:
        weights[site.name] = weigh(site)
        emit_static_product(writer, site, weights[site.name])
    for node in readers:
        if node_name(node) in blocked:
            part_from_activation(writer, node)
    made = {product_name(node) for site in channels for node in nodes[site.name]}
    for node in list(graph):
        if node_name(node) in made and _hidden_by_clamp(node):
            unclamp(graph, node)
    return Emitted(writer, weights, convolutions, inputs)


def emit_byte_zeros(
    model: ir.Model,
    forms: Mapping[str, ByteForm],
    nodes: Mapping[str, tuple[str, ...]],
    ranges: Ranges | None,
) -> None:
    """The same with weights of zeros, for workloads."""
    done = emit_bytes(model, forms, nodes, ranges, zero_weight)
    bits = {name: form.bits for name, form in forms.items()}
    emit_zeros(done.writer, done.convolutions, bits)


def _hidden_by_clamp(product: ir.Node) -> bool:
    """Whether a Relu or Clip reads a product and is itself read as floats.

    Where all of its readers round it, the product writes bytes instead. See `clamps`.
    """
    clamps = [node for node, _ in product.outputs[0].uses() if op_key(node) in ("Relu", "Clip")]
    readers = [reader for clamp in clamps for reader, _ in clamp.outputs[0].uses()]
    return any(op_key(reader) != "QuantizeLinear" for reader in readers)


def quantize_bytes(
    model: ir.Model,
    forms: Mapping[str, ByteForm],
    nodes: Mapping[str, tuple[str, ...]],
    ranges: Ranges,
    means: Means,
) -> list[LayerRecord]:
    """The same with the weights of the model.

    Returns:
        Records of convolutions and of products with scales per output channel.
    """
    plain = {site.name: site.weight_KN() for site in sites_of(model) if site.name in forms}
    rounded_of = {
        site.name: rounded(
            site, forms[site.name].bits, means, ranges[value_name(input_of(site))].scale
        )
        for site in convolutions_of(model)
        if site.name in forms
    }
    done = emit_bytes(model, forms, nodes, ranges, channel_weight)
    layers = emit_rounded(done.writer, done.convolutions, rounded_of, done.inputs)
    weights = done.weights.items()
    return [*layers, *(channel_record(name, plain[name], weight) for name, weight in weights)]


def observed_ranges(
    model: ir.Model, choices: Sequence[str], data: Data
) -> dict[str, dict[str, ActivationGrid]]:
    """Ranges of all tensors that may become bytes, by each way of taking them.

    Args:
        model: run as it is.
        choices: names of ways, see `RangeOptions`.
        data: calibration inputs and an engine.

    Returns:
        By way, then by name of the tensor.

    Raises:
        InputError: an activation is not finite.
    """
    products = [node for site in sites_of(model) for node in (site.node, *site.shared)]
    plan = plan_static(model.graph, [site.node for site in convolutions_of(model)], products)
    # Which tensor's range a tensor has depends on what else is chosen: each has its own here.
    names = list(dict.fromkeys(value_name(value) for value in plan.grid_of))
    seen = observe(model, names, data)
    return {choice: grids_of(seen, RangeOptions(range=choice)) for choice in choices}
