"""Error of the outputs with one product at a time in a lower precision.

The weights become inputs of the model, so that one session serves all products and precisions.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import onnx_ir as ir

from egrl.compression.error import relative_error
from graph_ir.compression.grid import F32, Grid, QuantizedWeight
from graph_ir.compression.method import Array, Feeds, Runner
from graph_ir.compression.sites import Site, find_sites
from graph_ir.onnx_values import value_name

Quantize = Callable[[F32, Grid], QuantizedWeight]


def single_errors(
    model: ir.Model,
    grids: Sequence[Grid],
    quantize: Quantize,
    samples: Sequence[Feeds],
    runner: Runner,
) -> dict[tuple[str, Grid], float]:
    """Squared relative error of the outputs, by the site that alone is quantized and its grid.

    Args:
        model: it is not changed.
        grids: to measure.
        quantize: gives a weight `[K, N]` on a grid.
        samples: inputs to measure on.
        runner: executes a model.
    """
    sites = find_sites(model.graph).found
    weights = {site.name: site.weight_KN() for site in sites}
    open_form, names = weights_as_inputs(model, sites)
    outputs = [value_name(value) for value in model.graph.outputs]
    execute = runner.open(open_form, outputs)
    plain = {names[site.name]: stored(site, weights[site.name]) for site in sites}
    expected = [execute({**sample, **plain}) for sample in samples]
    errors: dict[tuple[str, Grid], float] = {}
    for site in sites:
        for grid in grids:
            weight_KN = quantize(weights[site.name], grid).dequantized()
            feeds = {**plain, names[site.name]: stored(site, weight_KN)}
            got = (execute({**sample, **feeds}) for sample in samples)
            errors[site.name, grid] = relative_error(expected, got) ** 2
    return errors


def weights_as_inputs(model: ir.Model, sites: Sequence[Site]) -> tuple[ir.Model, Mapping[str, str]]:
    """A copy in which every site's weight is an input; its name by the site's."""
    form = model.clone()
    names: dict[str, str] = {}
    for at, site in enumerate(find_sites(form.graph).found):
        value = ir.Value(
            name=f"weight of site {at}",
            shape=site.weight.shape,
            type=site.weight.type,
        )
        form.graph.inputs.append(value)
        for node in (site.node, *site.shared):
            node.replace_input_with(1, value)
        names[site.name] = value_name(value)
    assert len(names) == len(sites)
    return form, names


def stored(site: Site, weight_KN: F32) -> Array:
    """A weight as the model stores it."""
    tensor = site.weight.const_value
    assert tensor is not None
    array = (weight_KN.T if site.transposed else weight_KN) / np.float32(site.factor)
    return np.ascontiguousarray(array, tensor.dtype.numpy()).reshape(tensor.shape.numpy())
