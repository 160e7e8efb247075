"""`int4:...,activations=int8`: weights of 4 bits with activations of bytes.

An integer array multiplies 4-bit weights with 8-bit activations; it cannot with floats. Products
take blocked weights of any method. Convolutions, which only bytes can compute, take part here:
their weights have a scale per output channel, and are rounded by GPTQ where that is the method.
"""

import dataclasses
from dataclasses import dataclass

import onnx_ir as ir

from egrl.compression.inputs import CalibrationInputs
from egrl.compression.int8 import OPSET, calibration_data
from egrl.compression.int8_sensitivity import sensitive_convolutions
from egrl.compression.int8_static import quantize_static
from egrl.compression.spec import Spec, options_into
from egrl.compression.weights import WeightsRecord, constant_sizes, quantize_weights
from graph_ir.compression.activations import RangeOptions
from graph_ir.errors import InputError
from graph_ir.opset import raise_opset
from runtime.compression import CompressionRecord

SENSITIVE_BITS = 8
KEYS = ("activations", "convolution-bits", "range", "percentile", "sensitive")


@dataclass(frozen=True, slots=True)
class Activations:
    """Options of `int4:` that are about activations.

    Attributes:
        activations: `float`, or `int8`: bytes of a range that calibration inputs give.
        convolution_bits: of convolutions' weights, 4, 7 or 8.
        sensitive: share of the convolutions' entries that may have 8 bits all the same: those
            that, rounded alone, change the model's output most.

    Raises:
        InputError: another value.
    """

    activations: str = "float"
    convolution_bits: int = 4
    sensitive: float = 0.0

    def __post_init__(self) -> None:
        if self.activations not in ("float", "int8"):
            raise InputError(f"activations={self.activations}: expected float or int8")
        if self.convolution_bits not in (4, 7, 8):
            raise InputError(f"convolution-bits={self.convolution_bits}: expected 4, 7 or 8")
        if not 0 <= self.sensitive <= 1:
            raise InputError(f"sensitive={self.sensitive:g}: expected a share between 0 and 1")


def quantize_int4(
    model: ir.Model, spec: Spec, calibration: CalibrationInputs, where: str
) -> WeightsRecord:
    """What an `int4:` flag asks for, in place.

    Raises:
        InputError: an unknown method or option, a weight or an activation that is not finite.
    """
    own = tuple(option for option in spec.options if option[0].replace("_", "-") in KEYS)
    rest = tuple(option for option in spec.options if option not in own)
    defaults: dict[str, object] = {"activations": Activations(), "range": RangeOptions()}
    made, resolved = options_into(dataclasses.replace(spec, options=own), defaults)
    options, ranges = made["activations"], made["range"]
    assert isinstance(options, Activations)
    assert isinstance(ranges, RangeOptions)
    others = [key for key, _ in own if key != "activations"]
    if options.activations == "float" and others:
        raise spec.fail(f"{others[0]}: expected activations=int8 with it")
    elements = constant_sizes(model)[0]
    weights = quantize_weights(model, dataclasses.replace(spec, options=rest), calibration, where)
    if options.activations == "float":
        return weights
    raise_opset(model, OPSET, where)
    bits, data = options.convolution_bits, calibration_data(calibration)
    sensitive: tuple[str, ...] = ()
    if options.sensitive and bits < SENSITIVE_BITS:
        sensitive = sensitive_convolutions(model, bits, options.sensitive, data)
    wide = dict.fromkeys(sensitive, SENSITIVE_BITS)
    feedback = "gptq" in spec.methods
    static = quantize_static(model, data, ranges, bits, 0, wide, feedback=feedback)
    skipped = {layer.name: layer for layer in (*weights.record.skipped, *static.skipped)}
    done = {layer.name for layer in (*weights.record.layers, *static.layers)}
    record = CompressionRecord(
        weights.record.method,
        [*weights.record.layers, *static.layers],
        [layer for name, layer in skipped.items() if name not in done],
        constant_sizes(model)[1] / max(elements, 1),
        [*weights.record.notes, *static.notes],
    )
    return dataclasses.replace(weights, record=record, options={**weights.options, **resolved})
