"""`int4:` and `int8:`: the weights of matrix products as integers with scales."""

from dataclasses import dataclass

import onnx_ir as ir

from egrl.compression.inputs import CalibrationInputs
from egrl.compression.registry import DEFAULT_METHOD, WEIGHT_METHODS
from egrl.compression.spec import Spec, options_into
from graph_ir.compression.emit import emit, needed_opset
from graph_ir.compression.grid import Grid
from graph_ir.compression.method import WeightMethod
from graph_ir.compression.sites import Skipped, find_sites
from graph_ir.opset import raise_opset

DEFAULT_BITS = {"int4": 4, "int8": 8}


@dataclass(frozen=True, slots=True)
class LayerRecord:
    """One quantized weight.

    Attributes:
        name: of the node that it is a factor of.
        bits: of its integers.
        group: input channels that share a scale.
        stored_bits: of its integers, scales and zero points.
        elements: of the weight.
        error: relative root mean square error of the weight.
    """

    name: str
    bits: int
    group: int
    stored_bits: int
    elements: int
    error: float


@dataclass(frozen=True, slots=True)
class WeightsRecord:
    """What was done.

    Attributes:
        layers: in the order of the graph.
        skipped: products that stayed as they were, with the reason.
        options: all of them, resolved.
    """

    layers: tuple[LayerRecord, ...]
    skipped: tuple[Skipped, ...]
    options: dict[str, str]


def quantize_weights(
    model: ir.Model, spec: Spec, calibration: CalibrationInputs, where: str
) -> WeightsRecord:
    """Quantizes every matrix product's weight in place.

    Raises:
        InputError: an unknown method or option, a weight that is not finite.
    """
    grid, method, options = _chosen(spec)
    raise_opset(model, needed_opset(grid.bits), where)
    sites = find_sites(model.graph)
    layers = []
    for site in sites.found:
        weight_KN = site.weight_KN()
        quantized = method.quantize(weight_KN, grid, None)
        error_KN = quantized.dequantized() - weight_KN
        scale = float((weight_KN.astype("f8") ** 2).sum()) or 1.0
        error = (float((error_KN.astype("f8") ** 2).sum()) / scale) ** 0.5
        layers.append(
            LayerRecord(
                site.name, grid.bits, grid.group, quantized.stored_bits, weight_KN.size, error
            )
        )
        emit(site, quantized)
    return WeightsRecord(tuple(layers), sites.skipped, options)


def _chosen(spec: Spec) -> tuple[Grid, WeightMethod, dict[str, str]]:
    names = spec.methods or (DEFAULT_METHOD,)
    unknown = [name for name in names if name not in WEIGHT_METHODS]
    if unknown:
        raise spec.fail(
            f"{unknown[0]}: unknown method; expected one of {', '.join(WEIGHT_METHODS)}"
        )
    if len(names) > 1:
        raise spec.fail(f"expected one method, got {' and '.join(names)}")
    defaults = {"grid": Grid(bits=DEFAULT_BITS[spec.family]), "method": WEIGHT_METHODS[names[0]]()}
    made, resolved = options_into(spec, defaults)
    grid, method = made["grid"], made["method"]
    assert isinstance(grid, Grid)
    assert isinstance(method, WeightMethod)
    return grid, method, {"method": "+".join(names), **resolved}
