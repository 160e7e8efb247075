"""Runs the base method of a compression over a graph, and records what it cost each layer."""

import os
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from graph_ir.compression.emit import emit
from graph_ir.compression.grid import F32, Grid, QuantizedWeight
from graph_ir.compression.mean_squares import mean_squares
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
from graph_ir.onnx_values import value_name
from runtime.compression import LayerRecord

Kept = dict[str, tuple[F32, QuantizedWeight]]
_Done = tuple[Site, F32, QuantizedWeight, InputStatistics | None]

# Columns at a time of what is computed of a whole weight.
_COLUMNS = 4096


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
        del weight_KN, quantized
        if kept is None:
            _unmap(site)
    return [records[site.name] for site in sites]


def _quantized(
    model: ir.Model,
    method: Method,
    sites: Sequence[Site],
    grids: Mapping[str, Grid],
    data: Data,
) -> Iterator[_Done]:
    """Every site with its weight before and after; the caller changes the graph."""
    if isinstance(method, ModelMethod):
        together = method.quantize(model, sites, grids, data)
        for site in sites:
            yield site, site.weight_KN(), together[site.name], None
    elif not method.needs_inputs:
        yield from _one_by_one(model, method, sites, grids, data)
    else:
        groups = by_input(sites)
        values = [group.value for group in groups]
        stages = run_in_stages(model, values, data.samples, data.runner)
        for group, arrays in zip(groups, stages, strict=True):
            inputs = input_statistics(arrays)
            _check_finite(group.sites[0], inputs.gram_KK)
            for site in group.sites:
                yield _one(method, site, grids[site.name], inputs)


def _one_by_one(
    model: ir.Model,
    method: WeightMethod,
    sites: Sequence[Site],
    grids: Mapping[str, Grid],
    data: Data,
) -> Iterator[_Done]:
    """Likewise for a method that needs to know nothing of the other weights: several at a time."""
    known: dict[str, InputStatistics] = {}
    if method.needs_squares:
        known = mean_squares(model, [site.input for site in sites], data)
    for site in sites:
        if value_name(site.input) in known:
            _check_finite(site, known[value_name(site.input)].square_K)
    workers = os.cpu_count() or 1
    with ThreadPoolExecutor(workers) as pool:
        # Only as many ahead as there are workers: a weight is several times its size at work.
        started: deque[Future[_Done]] = deque()
        for site in sites:
            inputs = known.get(value_name(site.input))
            started.append(pool.submit(_one, method, site, grids[site.name], inputs))
            if len(started) > workers:
                yield started.popleft().result()
        while started:
            yield started.popleft().result()


def _check_finite(site: Site, statistics: NDArray[np.float64]) -> None:
    if not np.isfinite(statistics).all():
        raise InputError(
            f"inputs of {site.name}: expected finite values on the calibration inputs, got NaN "
            "or infinity"
        )


def _one(method: WeightMethod, site: Site, grid: Grid, inputs: InputStatistics | None) -> _Done:
    weight_KN = site.weight_KN()
    chosen = method.for_tables() if site.tables else method
    return site, weight_KN, chosen.quantize(weight_KN, grid, inputs), inputs


def layer_record(
    name: str, weight_KN: F32, quantized: QuantizedWeight, inputs: InputStatistics | None
) -> LayerRecord:
    """Size and error of a quantized weight."""
    lost = square = output_lost = output = 0.0
    for start in range(0, weight_KN.shape[1], _COLUMNS):
        part_KN = weight_KN[:, start : start + _COLUMNS]
        error_KN = quantized.columns(start, start + _COLUMNS).dequantized()
        error_KN -= part_KN
        lost += float(np.square(error_KN).sum(dtype=np.float64))
        square += float(np.square(part_KN).sum(dtype=np.float64))
        if inputs is not None:
            output_lost += output_square(inputs, error_KN)
            output += output_square(inputs, part_KN)
    return LayerRecord(
        name,
        quantized.grid.bits,
        quantized.grid.group,
        quantized.stored_bits,
        weight_KN.size,
        _ratio(lost, square),
        None if inputs is None else _ratio(output_lost, output),
        None if inputs is None else inputs.rows,
    )


def _unmap(site: Site) -> None:
    """Lets go of the mapped file of a weight; whoever wants it again maps it again."""
    tensor = site.weight.const_value
    if isinstance(tensor, ir.ExternalTensor):
        tensor.release()


def _ratio(square: float, of: float) -> float:
    return float(np.sqrt(max(square, 0.0) / of)) if of > 0 else float(np.sqrt(max(square, 0.0)))
