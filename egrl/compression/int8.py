"""`int8:dynamic`, `int8:static`: products (and convolutions) of bytes; other `int8:` weights alone.

`dynamic` quantizes the activations of matrix products while the model runs, and needs no data.
`static` takes their ranges from calibration inputs, and covers convolutions and what lies between
them, so that tensors stay bytes from one to the next.
"""

from dataclasses import dataclass

import onnx_ir as ir

from egrl.compression.inputs import CalibrationInputs
from egrl.compression.int8_static import quantize_static
from egrl.compression.int8_weights import channel_record, quantize_tables
from egrl.compression.runner import OnnxRuntimeRunner
from egrl.compression.spec import Spec, options_into
from egrl.compression.weights import WeightsRecord, constant_sizes, quantize_weights
from graph_ir.compression.activations import RangeOptions
from graph_ir.compression.grid import Grid
from graph_ir.compression.method import Data
from graph_ir.compression.qdq_dynamic import DynamicProducts
from graph_ir.compression.qdq_weights import channel_scale, on_channels
from graph_ir.compression.sites import find_sites
from graph_ir.errors import InputError
from graph_ir.onnx_values import node_name, op_key
from graph_ir.opset import raise_opset
from runtime.compression import CompressionRecord, SkippedRecord

BYTE_BITS = (7, 8)
# The first whose conversions onnx knows for every op, and with 4-bit types.
OPSET = 21


@dataclass(frozen=True, slots=True)
class Bytes:
    """Options of `int8:dynamic` and `int8:static`.

    Attributes:
        weight_bits: 8, or 7, which CPUs without VNNI multiply half as fast again.
        embeddings: `8`: as bytes with a scale a row; `float`: as they are.

    Raises:
        InputError: another width.
    """

    weight_bits: int = 8
    embeddings: str = "8"

    def __post_init__(self) -> None:
        if self.embeddings not in ("8", "float"):
            raise InputError(f"embeddings={self.embeddings}: expected 8 or float")
        if self.weight_bits not in BYTE_BITS:
            raise InputError(f"weight-bits={self.weight_bits}: expected 7 or 8")

    @property
    def table_bits(self) -> int:
        """Bits of an embedding, 0 where it stays as it is."""
        return 0 if self.embeddings == "float" else 8


def quantize_int8(
    model: ir.Model, spec: Spec, calibration: CalibrationInputs, where: str
) -> WeightsRecord:
    """What an `int8:` flag asks for, in place.

    Raises:
        InputError: an unknown method or option, a weight that is not finite.
    """
    if "dynamic" in spec.methods:
        return _dynamic(model, spec, where)
    if "static" in spec.methods:
        return _static(model, spec, calibration, where)
    return quantize_weights(model, spec, calibration, where)


def _dynamic(model: ir.Model, spec: Spec, where: str) -> WeightsRecord:
    _alone(spec)
    made, resolved = options_into(spec, {"dynamic": Bytes()})
    options = made["dynamic"]
    raise_opset(model, OPSET, where)
    elements = constant_sizes(model)[0]
    tables, passed_over = quantize_tables(model, options.table_bits)
    sites = find_sites(model.graph)
    products = DynamicProducts(model.graph)
    layers = [*tables]
    for site in sites.found:
        weight_KN = site.weight_KN()
        weight = on_channels(
            weight_KN, 1, options.weight_bits, channel_scale(weight_KN, 1, options.weight_bits)
        )
        layers.append(channel_record(site.name, weight_KN, weight))
        products.emit(site, weight)
    skipped = [*passed_over]
    skipped += [SkippedRecord(left.name, left.reason) for left in sites.skipped]
    skipped += [
        SkippedRecord(node_name(node), "onnxruntime's dynamic convolution is slower than floats")
        for node in model.graph
        if op_key(node) in ("Conv", "ConvTranspose")
    ]
    bits = constant_sizes(model)[1] / max(elements, 1)
    record = CompressionRecord("dynamic", layers, skipped, bits)
    return WeightsRecord(record, {"method": "dynamic", **resolved})


def _static(
    model: ir.Model, spec: Spec, calibration: CalibrationInputs, where: str
) -> WeightsRecord:
    _alone(spec)
    made, resolved = options_into(spec, {"static": Bytes(), "range": RangeOptions()})
    options, ranges = made["static"], made["range"]
    assert isinstance(options, Bytes)
    assert isinstance(ranges, RangeOptions)
    raise_opset(model, OPSET, where)
    elements = constant_sizes(model)[0]
    tables, passed_over = quantize_tables(model, options.table_bits)
    data = calibration_data(calibration)
    bits = options.weight_bits
    done = quantize_static(model, data, ranges, bits, bits, {})
    stored = constant_sizes(model)[1] / max(elements, 1)
    record = CompressionRecord(
        "static", [*tables, *done.layers], [*passed_over, *done.skipped], stored, done.notes
    )
    return WeightsRecord(record, {"method": "static", **resolved})


def calibration_data(calibration: CalibrationInputs) -> Data:
    """The inputs with an engine."""
    given = calibration.source != "drawn"
    return Data(calibration.samples, OnnxRuntimeRunner(), calibration.seed, given, Grid(bits=8))


def _alone(spec: Spec) -> None:
    if len(spec.methods) > 1:
        raise spec.fail(f"{spec.methods[0]}: expected no other part, got {spec.methods[1]}")
