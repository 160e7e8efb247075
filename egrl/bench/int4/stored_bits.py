"""Bits that a model file spends on a quantized weight, whatever tool wrote it.

Counts what is stored: integers, scales, zero points, and every constant that the source model has
not (outliers, low-rank factors, scales of activations, online rotations).
"""

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import onnx
from onnx import TensorProto

BITS = {
    TensorProto.FLOAT: 32, TensorProto.FLOAT16: 16, TensorProto.BFLOAT16: 16,
    TensorProto.DOUBLE: 64, TensorProto.INT8: 8, TensorProto.UINT8: 8, TensorProto.INT4: 4,
    TensorProto.UINT4: 4, TensorProto.INT2: 2, TensorProto.UINT2: 2, TensorProto.INT16: 16,
    TensorProto.UINT16: 16, TensorProto.INT32: 32, TensorProto.INT64: 64, TensorProto.BOOL: 8,
    TensorProto.UINT32: 32, TensorProto.UINT64: 64,
}  # fmt: skip
_INTEGERS = (
    TensorProto.INT2, TensorProto.UINT2, TensorProto.INT4, TensorProto.UINT4, TensorProto.INT8,
    TensorProto.UINT8,
)  # fmt: skip
# Ops by the inputs that a weight is made of: integers first, then scales and zero points.
_WEIGHT_INPUTS = {
    "DequantizeLinear": (0, 1, 2),
    "MatMulNBits": (1, 2, 3, 4),
    "GatherBlockQuantized": (0, 2, 3),
    "MatMulInteger": (1, 3),
    "DynamicQuantizeMatMul": (1, 2, 3),
    "QLinearMatMul": (3, 4, 5),
    "QLinearConv": (3, 4, 5),
    "ConvInteger": (1, 3),
}


@dataclass(frozen=True, slots=True)
class StoredBits:
    """What a file spends.

    Attributes:
        elements: of the weights that are stored as integers.
        bits: stored for them, additions included.
        constant_bits: of all constants of the file.
    """

    elements: int
    bits: int
    constant_bits: int

    @property
    def per_weight(self) -> float:
        """Bits of a quantized weight, all included; 32 where nothing is quantized."""
        return self.bits / self.elements if self.elements else 32.0


def stored_bits(model: Path, source: Path) -> StoredBits:
    """Count a file's bits.

    Args:
        model: compressed ONNX file.
        source: uncompressed ONNX file; constants that it has too, by name or by shape and type, are
            no addition.
    """
    graph, original = (onnx.load(path, load_external_data=False).graph for path in (model, source))
    constants = dict(_constants(graph))
    producers = {name: node for node in graph.node for name in node.output}
    counted: dict[str, None] = {}
    elements = 0
    for node in graph.node:
        places = _WEIGHT_INPUTS.get(node.op_type)
        if places is None or len(node.input) <= places[0]:
            continue
        weight = constants.get(_origin(node.input[places[0]], producers))
        if weight is None or weight.data_type not in _INTEGERS or weight.name in counted:
            continue
        elements += _elements(node, weight)
        for place in places:
            if place < len(node.input):
                name = _origin(node.input[place], producers)
                if name in constants:
                    counted.setdefault(name)
    bits = sum(_bits(constants[name]) for name in counted)
    bits += _added(constants, dict(_constants(original)), counted)
    return StoredBits(elements, bits, sum(map(_bits, constants.values())))


def _constants(graph: onnx.GraphProto) -> Iterator[tuple[str, TensorProto]]:
    for tensor in graph.initializer:
        yield tensor.name, tensor
    for node in graph.node:
        if node.op_type == "Constant" and node.attribute[0].HasField("t"):
            tensor = TensorProto()
            tensor.CopyFrom(node.attribute[0].t)
            tensor.name = node.output[0]
            yield tensor.name, tensor


def _origin(name: str, producers: dict[str, onnx.NodeProto]) -> str:
    """The constant behind casts, changes of shape, and the lookup of its rows."""
    while (node := producers.get(name)) is not None and node.op_type in (
        "Cast", "Gather", "Reshape", "Transpose", "Squeeze", "Unsqueeze",
    ):  # fmt: skip
        name = node.input[0]
    return name


def _elements(node: onnx.NodeProto, weight: TensorProto) -> int:
    """Of a weight, whose integers a fused op may have packed into bytes."""
    if node.op_type == "MatMulNBits":
        sizes = {a.name: a.i for a in node.attribute}
        return int(sizes["K"] * sizes["N"])
    if node.op_type == "GatherBlockQuantized" and weight.data_type == TensorProto.UINT8:
        bits = next((int(a.i) for a in node.attribute if a.name == "bits"), 4)
        return int(math.prod(weight.dims)) * 8 // bits
    return int(math.prod(weight.dims))


def _bits(tensor: TensorProto) -> int:
    return int(BITS.get(tensor.data_type, 32) * math.prod(tensor.dims))


def _added(
    constants: dict[str, TensorProto], original: dict[str, TensorProto], counted: dict[str, None]
) -> int:
    """Bits of the constants that neither the source has nor a weight is made of."""

    def form(tensor: TensorProto) -> tuple[int, ...]:
        return (tensor.data_type, *tensor.dims)

    missing = Counter(form(t) for name, t in original.items() if name not in constants)
    added = 0
    for name, tensor in constants.items():
        known = name in original and form(original[name]) == form(tensor)
        if name in counted or known:
            continue
        if missing[form(tensor)] > 0:
            missing[form(tensor)] -= 1  # renamed
        else:
            added += _bits(tensor)
    return added
