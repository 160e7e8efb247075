"""Runs the base method of a compression over a graph, and records what it cost each layer."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import onnx_ir as ir

from graph_ir.compression.emit import emit
from graph_ir.compression.grid import F32, Grid, QuantizedWeight
from graph_ir.compression.method import (
    Data,
    InputStatistics,
    Method,
    ModelMethod,
    WeightMethod,
)
from graph_ir.compression.sites import Site
from graph_ir.compression.stages import by_input, run_in_stages
from graph_ir.compression.statistics import input_statistics, output_square
from graph_ir.errors import InputError
from runtime.compression import LayerRecord

Kept = dict[str, tuple[F32, QuantizedWeight]]


def quantize_sites(
    model: ir.Model,
    method: Method,
    sites: Sequence[Site],
    grids: Mapping[str, Grid],
    data: Data,
    kept: Kept | None = None,
) -> list[LayerRecord]:
    """Puts a quantized weight in the place of every site's.

    Args:
        model: changed in place.
        method: any base method.
        sites: of the model, in topological order.
        grids: by name of the site.
        data: for methods that need it.
        kept: where given, gets every weight before and after.

    Returns:
        A record of every site, in their order.

    Raises:
        InputError: a weight, or what a layer is given on the inputs, is not finite.
    """
    records: dict[str, LayerRecord] = {}
    for site, weight_KN, quantized, inputs in _quantized(model, method, sites, grids, data):
        records[site.name] = layer_record(site.name, weight_KN, quantized, inputs)
        if kept is not None:
            kept[site.name] = (weight_KN, quantized)
        emit(site, quantized)
    return [records[site.name] for site in sites]


def _quantized(
    model: ir.Model,
    method: Method,
    sites: Sequence[Site],
    grids: Mapping[str, Grid],
    data: Data,
) -> Iterator[tuple[Site, F32, QuantizedWeight, InputStatistics | None]]:
    """Every site with its weight before and after; the caller changes the graph at once."""
    if isinstance(method, ModelMethod):
        together = method.quantize(model, sites, grids, data)
        for site in sites:
            yield site, site.weight_KN(), together[site.name], None
    elif method.needs_inputs:
        groups = by_input(sites)
        values = [group.value for group in groups]
        stages = run_in_stages(model, values, data.samples, data.runner)
        for group, arrays in zip(groups, stages, strict=True):
            inputs = input_statistics(arrays)
            if not np.isfinite(inputs.gram_KK).all():
                raise InputError(
                    f"inputs of {group.sites[0].name}: expected finite values on the calibration "
                    "inputs, got NaN or infinity"
                )
            for site in group.sites:
                yield _one(method, site, grids[site.name], inputs)
    else:
        for site in sites:
            yield _one(method, site, grids[site.name], None)


def _one(
    method: WeightMethod, site: Site, grid: Grid, inputs: InputStatistics | None
) -> tuple[Site, F32, QuantizedWeight, InputStatistics | None]:
    weight_KN = site.weight_KN()
    return site, weight_KN, method.quantize(weight_KN, grid, inputs), inputs


def layer_record(
    name: str, weight_KN: F32, quantized: QuantizedWeight, inputs: InputStatistics | None
) -> LayerRecord:
    """Size and error of a quantized weight."""
    error_KN = quantized.dequantized()
    error_KN -= weight_KN
    output_error = None
    if inputs is not None:
        output_error = _ratio(
            output_square(inputs.gram_KK, error_KN), output_square(inputs.gram_KK, weight_KN)
        )
    return LayerRecord(
        name,
        quantized.grid.bits,
        quantized.grid.group,
        quantized.stored_bits,
        weight_KN.size,
        _ratio(float(np.vdot(error_KN, error_KN)), float(np.vdot(weight_KN, weight_KN))),
        output_error,
        None if inputs is None else inputs.rows,
    )


def _ratio(square: float, of: float) -> float:
    return float(np.sqrt(max(square, 0.0) / of)) if of > 0 else float(np.sqrt(max(square, 0.0)))
