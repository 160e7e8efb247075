"""`int4:` and `int8:`: the weights of matrix products as integers with scales.

Preparations, then the method, weight by weight or all together, then corrections. A method that
needs inputs gets those that the already quantized layers before give.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import onnx_ir as ir

from egrl.compression.beside import quantize_beside
from egrl.compression.generate import learned_from
from egrl.compression.inputs import CalibrationInputs
from egrl.compression.quantize import Kept, quantize_sites
from egrl.compression.recipe import Recipe, read_recipe
from egrl.compression.runner import OnnxRuntimeRunner
from egrl.compression.sensitivity import candidate_grids, grids_within, measure_sensitivities
from egrl.compression.spec import Spec
from graph_ir.compression.emit import needed_opset
from graph_ir.compression.execution_options import right_grid
from graph_ir.compression.grid import Grid
from graph_ir.compression.method import Data
from graph_ir.compression.sites import Site, Sites, find_sites
from graph_ir.onnx_values import node_name
from graph_ir.opset import raise_opset
from graph_ir.passes.base import PassResult
from runtime.compression import CompressionRecord, LayerRecord, SkippedRecord


@dataclass(frozen=True, slots=True)
class WeightsRecord:
    """What was done.

    Attributes:
        record: for the manifest.
        options: all of them, resolved.
        accuracy: of onnxruntime's fused products.
    """

    record: CompressionRecord
    options: dict[str, str]
    accuracy: int = 4
    calibration: CalibrationInputs | None = None


def quantize_weights(
    model: ir.Model, spec: Spec, calibration: CalibrationInputs, where: str
) -> WeightsRecord:
    """Quantizes every matrix product's weight in place.

    Raises:
        InputError: an unknown method or option, a weight that is not finite.
    """
    recipe = read_recipe(spec)
    raise_opset(model, needed_opset(recipe.grid.bits), where)
    elements = constant_sizes(model)[0]
    calibration = learned_from(model, recipe, calibration)
    data = Data(
        calibration.samples,
        OnnxRuntimeRunner(),
        calibration.seed,
        calibration.given,
        recipe.grid,
    )
    notes = [_note(part.name, part.prepare(model, data)) for part in recipe.preparations]
    beside, passed_over = quantize_beside(model, recipe)
    sites = find_sites(model.graph)
    grids = _grids(model, recipe, sites.found, data)
    source = model.clone() if recipe.corrections else model
    kept: Kept = {}
    wanted = kept if recipe.corrections else None
    layers = quantize_sites(model, recipe.method, sites.found, grids, data, wanted)
    notes += [
        _note(part.name, part.correct(model, source, kept, data)) for part in recipe.corrections
    ]
    notes += [
        f"{site.name}: tied to {', '.join(node_name(node) for node in site.tables)}, stored once"
        for site in sites.found
        if site.tables
    ]
    notes += _few_rows(sites.found, layers)
    record = CompressionRecord(
        recipe.options["method"],
        [*beside, *layers],
        [*passed_over, *_left(sites, beside)],
        constant_sizes(model)[1] / max(elements, 1),
        notes,
    )
    return WeightsRecord(record, recipe.options, recipe.whole.accuracy, calibration)


def _left(sites: Sites, beside: Sequence[LayerRecord]) -> list[SkippedRecord]:
    """The products that stay as they were; not those whose bytes were found again."""
    done = {layer.name for layer in beside}
    return [SkippedRecord(e.name, e.reason) for e in sites.skipped if e.name not in done]


def _grids(model: ir.Model, recipe: Recipe, sites: Sequence[Site], data: Data) -> dict[str, Grid]:
    """The grid of every weight."""
    grids = {site.name: recipe.grid for site in sites}
    if recipe.mixed.average_bits:
        candidates = candidate_grids(recipe.grid)
        sensitivities = measure_sensitivities(model, sites, candidates, data)
        grids = grids_within(sites, candidates, sensitivities, recipe.mixed.average_bits)
    return {site.name: right_grid(grids[site.name], site.columns) for site in sites}


def _few_rows(sites: Sequence[Site], layers: Sequence[LayerRecord]) -> list[str]:
    """What to say where a method learned from fewer inputs than it chose values for."""
    short = [
        site.name
        for site, layer in zip(sites, layers, strict=True)
        if layer.rows is not None and layer.rows < site.inner
    ]
    if not short:
        return []
    return [f"{len(short)} weights saw fewer rows of inputs than they have, first {short[0]}"]


def _note(name: str, result: PassResult) -> str:
    return f"{name}: {result.details or f'{result.changes} changes'}"


def constant_sizes(model: ir.Model) -> tuple[int, int]:
    """Elements and bits of all constants of a graph."""
    tensors = [value.const_value for value in model.graph.initializers.values()]
    elements = sum(tensor.size for tensor in tensors if tensor is not None)
    bits = sum(tensor.size * tensor.dtype.bitwidth for tensor in tensors if tensor is not None)
    return elements, bits
