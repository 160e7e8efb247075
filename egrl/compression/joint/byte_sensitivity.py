"""Error of the outputs with one product at a time in a form with activations of bytes.

Weights, ranges and whether a product rounds its activations are inputs of one model, so that one
session serves all products and forms.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from egrl.compression.error import relative_error
from egrl.compression.joint.byte_forms import ByteForm, Ranges, observed_ranges, on_channels_of
from egrl.compression.joint.sensitivity import stored, weights_as_inputs
from graph_ir.compression.activations import BEST, CHOICES
from graph_ir.compression.grid import F32
from graph_ir.compression.method import Array, Data, Feeds
from graph_ir.compression.methods.rtn import Rtn
from graph_ir.compression.qdq import Writer
from graph_ir.compression.sites import Site, find_sites
from graph_ir.onnx_values import node_name, shape_of, value_name

# Samples that are run for every product and form.
_RUN_SAMPLES = 1


@dataclass(frozen=True, slots=True)
class ByteSensitivities:
    """What activations of bytes cost.

    Attributes:
        ranges: of the activations.
        choice: how they were taken.
        error_squared: relative, of the outputs, by the site that alone has a form, and the form.
    """

    ranges: Ranges
    choice: str
    error_squared: dict[tuple[str, ByteForm], float]


NO_BYTES = ByteSensitivities({}, "", {})
"""Where activations stay floats."""


def measure_bytes(
    model: ir.Model, forms: Sequence[ByteForm], choice: str, data: Data
) -> ByteSensitivities:
    """Measures every product in every form.

    Weights are rounded to nearest.

    Args:
        model: it is not changed.
        forms: to measure.
        choice: how ranges are taken; with `best` the way whose activations, rounded one product at
            a time, change the outputs least.
        data: inputs to take ranges from, and to measure on.

    Raises:
        InputError: an activation is not finite.
    """
    sites = find_sites(model.graph).found
    choices = CHOICES if choice == BEST else (choice,)
    ranges = observed_ranges(model, choices, data)
    measure = _Measure(model, sites, data)
    if len(choices) > 1:
        whole = {
            way: sum(measure.squared(site, site.weight_KN(), ranges[way]) for site in sites)
            for way in choices
        }
        choice = min(choices, key=whole.__getitem__)
    errors = {}
    for site in sites:
        weight_KN = site.weight_KN()
        for form in forms:
            if form.grid is None:
                rounded_KN = on_channels_of(weight_KN).dequantized()
            else:
                rounded_KN = Rtn().quantize(weight_KN, form.grid).dequantized()
            errors[site.name, form] = measure.squared(site, rounded_KN, ranges[choice])
    return ByteSensitivities(ranges[choice], choice, errors)


class _Measure:
    """A session of a model whose products can round their activations."""

    def __init__(self, model: ir.Model, sites: Sequence[Site], data: Data) -> None:
        form, self._weights = weights_as_inputs(model, sites)
        self._flags: dict[str, str] = {}
        self._plain: Feeds = {}
        readers = {
            node: site.name
            for site in sites
            for node in (node_name(site.node), *map(node_name, site.shared))
        }
        writer = Writer(form.graph)
        for node in list(form.graph):
            if node_name(node) in readers:
                self._open(form.graph, writer, node)
        self._plain |= {self._weights[site.name]: stored(site, site.weight_KN()) for site in sites}
        outputs = [value_name(value) for value in model.graph.outputs]
        self._execute = data.runner.open(form, outputs)
        self._samples = data.samples[:_RUN_SAMPLES]
        self._expected = [self._execute({**sample, **self._plain}) for sample in self._samples]

    def squared(self, site: Site, weight_KN: F32, ranges: Ranges) -> float:
        """Squared relative error of the outputs with one site's weight and activations rounded."""
        feeds: Feeds = {self._weights[site.name]: stored(site, weight_KN)}
        for node in (site.node, *site.shared):
            name = node_name(node)
            feeds |= _switch(name, True, ranges[name].scale, ranges[name].zero)
        got = (self._execute({**sample, **self._plain, **feeds}) for sample in self._samples)
        return relative_error(self._expected, got) ** 2

    def _open(self, graph: ir.Graph, writer: Writer, node: ir.Node) -> None:
        """Lets inputs of the graph say whether a product rounds its left factor, and how."""
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
        (rounded,) = writer.node(
            node, "DequantizeLinear", [levels, scale, zero], f"{name}/rounded", [floats], [shape]
        )
        (read,) = writer.node(
            node, "Where", [on, rounded, source], f"{name}/read", [floats], [shape]
        )
        node.replace_input_with(0, read)


def _switch(node: str, on: bool, scale: float, zero: int) -> dict[str, Array]:
    """The feeds that turn rounding of a product's activations on or off."""
    return {
        f"{node} reads bytes": np.array(on),
        f"{node} reads in steps of": np.array(scale, np.float32),
        f"{node} reads zero as": np.array(zero, np.uint8),
    }
