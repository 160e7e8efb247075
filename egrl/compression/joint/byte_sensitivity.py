"""Error of the outputs with one product or convolution at a time in a form with bytes.

Weights, ranges and whether an op rounds its activations are inputs of one model, so that one
session serves all of them and all forms.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
import onnx_ir as ir

from egrl.compression.error import relative_error
from egrl.compression.int8_weights import convolution_weight
from egrl.compression.joint.byte_convolutions import (
    Means,
    bias_of,
    convolutions_of,
    input_of,
    measured_means,
    rounded,
)
from egrl.compression.joint.byte_forms import (
    ByteForm,
    Ranges,
    observed_ranges,
    on_channels_of,
)
from egrl.compression.joint.sensitivity import stored, weights_as_inputs
from graph_ir.compression.activations import BEST, CHOICES
from graph_ir.compression.convolution import ConvolutionSite
from graph_ir.compression.grid import F32
from graph_ir.compression.method import Array, Data, Feeds
from graph_ir.compression.methods.rtn import Rtn
from graph_ir.compression.qdq import Writer
from graph_ir.compression.sites import Site, find_sites
from graph_ir.onnx_values import node_name, shape_of, value_name

MOST_JUDGED = 8
"""Products, and convolutions, spread evenly, by which ways of taking ranges are compared."""

# Samples that are run for every op and form.
_RUN_SAMPLES = 1


T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ByteSensitivities:
    """What activations of bytes cost.

    Attributes:
        ranges: of the tensors that may become bytes, by name.
        choice: how they were taken.
        error_squared: relative, of the outputs, by the site that alone has a form, and the form.
        means: of what convolutions read.
    """

    ranges: Ranges
    choice: str
    error_squared: dict[tuple[str, ByteForm], float]
    means: Means = field(default_factory=dict)


NO_BYTES = ByteSensitivities({}, "", {})
"""Where activations stay floats."""


def measure_bytes(
    model: ir.Model, forms: Sequence[ByteForm], choice: str, data: Data
) -> ByteSensitivities:
    """Measures every product and convolution in every form.

    Weights are rounded to nearest.

    Args:
        model: it is not changed.
        forms: to measure.
        choice: how ranges are taken; with `best` the way whose activations, rounded one op at a
            time, change the outputs least.
        data: inputs to take ranges from, and to measure on.

    Raises:
        InputError: a weight or an activation is not finite.
    """
    sites, convolutions = find_sites(model.graph).found, convolutions_of(model)
    choices = CHOICES if choice == BEST else (choice,)
    ranges = observed_ranges(model, choices, data)
    measure = _Measure(model, sites, convolutions, data)
    if len(choices) > 1:
        whole = {
            way: sum(measure.product(site, site.weight_KN(), ranges[way]) for site in _some(sites))
            + sum(
                measure.convolution(each, convolution_weight(each), bias_of(each), ranges[way])
                for each in _some(convolutions)
            )
            for way in choices
        }
        choice = min(choices, key=whole.__getitem__)
    chosen = ranges[choice]
    means = measured_means(model, chosen, data)
    errors = {}
    for site in sites:
        weight_KN = site.weight_KN()
        for form in forms:
            if form.grid is None:
                rounded_KN = on_channels_of(weight_KN).dequantized()
            else:
                rounded_KN = Rtn().quantize(weight_KN, form.grid).dequantized()
            errors[site.name, form] = measure.product(site, rounded_KN, chosen)
    for each in convolutions:
        scale = chosen[value_name(input_of(each))].scale
        known: dict[int, float] = {}
        for form in forms:
            if form.bits not in known:
                weight, bias_C = rounded(each, form.bits, means, scale)
                known[form.bits] = measure.convolution(each, weight.dequantized(), bias_C, chosen)
            errors[each.name, form] = known[form.bits]
    return ByteSensitivities(chosen, choice, errors, means)


def _some(sites: Sequence[T]) -> list[T]:
    """At most `MOST_JUDGED` of them, spread evenly."""
    count = min(MOST_JUDGED, len(sites))
    return [sites[at * len(sites) // count] for at in range(count)]


class _Measure:
    """A session of a model whose products and convolutions can round their activations."""

    def __init__(
        self,
        model: ir.Model,
        sites: Sequence[Site],
        convolutions: Sequence[ConvolutionSite],
        data: Data,
    ) -> None:
        form, self._weights = weights_as_inputs(model, sites)
        self._plain: Feeds = {}
        readers = {node_name(node) for site in sites for node in (site.node, *site.shared)}
        readers |= {each.name for each in convolutions}
        self._reads = {
            node_name(node): value_name(node.inputs[0])  # type: ignore[arg-type]
            for node in model.graph
            if node_name(node) in readers
        }
        for each in convolutions_of(form):
            self._open_weights(form.graph, each)
        writer = Writer(form.graph)
        for node in list(form.graph):
            if node_name(node) in readers:
                self._open(form.graph, writer, node)
        self._plain |= {self._weights[site.name]: stored(site, site.weight_KN()) for site in sites}
        outputs = [value_name(value) for value in model.graph.outputs]
        self._execute = data.runner.open(form, outputs)
        self._samples = data.samples[:_RUN_SAMPLES]
        self._expected = [self._execute({**sample, **self._plain}) for sample in self._samples]

    def product(self, site: Site, weight_KN: F32, ranges: Ranges) -> float:
        """Squared relative error of the outputs with one product's factors rounded."""
        feeds: Feeds = {self._weights[site.name]: stored(site, weight_KN)}
        nodes = [node_name(node) for node in (site.node, *site.shared)]
        return self._squared(feeds, nodes, ranges)

    def convolution(self, site: ConvolutionSite, weight: F32, bias_C: F32, ranges: Ranges) -> float:
        """Likewise with one convolution's input, weight and bias."""
        feeds: Feeds = dict(zip(_weights_of(site.name), (weight, bias_C), strict=True))
        return self._squared(feeds, [site.name], ranges)

    def _squared(self, feeds: Mapping[str, Array], nodes: Sequence[str], ranges: Ranges) -> float:
        changed = dict(feeds)
        for name in nodes:
            grid = ranges[self._reads[name]]
            changed |= _switch(name, True, grid.scale, grid.zero)
        got = (self._execute({**sample, **self._plain, **changed}) for sample in self._samples)
        return relative_error(self._expected, got) ** 2

    def _open_weights(self, graph: ir.Graph, site: ConvolutionSite) -> None:
        """Makes inputs of a convolution's weight and bias."""
        arrays = convolution_weight(site), bias_of(site)
        if len(site.node.inputs) < 3:
            site.node.resize_inputs(3)
        for at, (name, array) in enumerate(zip(_weights_of(site.name), arrays, strict=True), 1):
            value = ir.Value(
                name=name, shape=ir.Shape(array.shape), type=ir.TensorType(ir.DataType.FLOAT)
            )
            graph.inputs.append(value)
            site.node.replace_input_with(at, value)
            self._plain[name] = array

    def _open(self, graph: ir.Graph, writer: Writer, node: ir.Node) -> None:
        """Lets inputs of the graph say whether an op rounds its first factor, and how."""
        name, source = node_name(node), node.inputs[0]
        assert source is not None
        types = (ir.DataType.BOOL, ir.DataType.FLOAT, ir.DataType.UINT8)
        off = _switch(name, False, 1.0, 0)
        values = [
            ir.Value(name=key, shape=ir.Shape(()), type=ir.TensorType(dtype))
            for key, dtype in zip(off, types, strict=True)
        ]
        graph.inputs.extend(values)
        self._plain |= off
        on, scale, zero = values
        shape, floats = shape_of(source), ir.DataType.FLOAT
        (levels,) = writer.node(
            node, "QuantizeLinear", [source, scale, zero], f"{name}/levels", [ir.DataType.UINT8],
            [shape],
        )  # fmt: skip
        (rounded_,) = writer.node(
            node, "DequantizeLinear", [levels, scale, zero], f"{name}/rounded", [floats], [shape]
        )
        (read,) = writer.node(
            node, "Where", [on, rounded_, source], f"{name}/read", [floats], [shape]
        )
        node.replace_input_with(0, read)


def _weights_of(convolution: str) -> tuple[str, str]:
    return f"weight of {convolution}", f"bias of {convolution}"


def _switch(node: str, on: bool, scale: float, zero: int) -> dict[str, Array]:
    """The feeds that turn rounding of an op's activations on or off."""
    return {
        f"{node} reads bytes": np.array(on),
        f"{node} reads in steps of": np.array(scale, np.float32),
        f"{node} reads zero as": np.array(zero, np.uint8),
    }
