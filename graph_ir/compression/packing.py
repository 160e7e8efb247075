"""Integers and scales as constants of a graph."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import ml_dtypes
import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from graph_ir.compression.grid import QuantizedWeight
from graph_ir.passes.rewiring import Names

OPSET = 21
OPSET_2_BITS = 25

TYPES: dict[tuple[int, bool], tuple[ir.DataType, type]] = {
    (2, True): (ir.DataType.INT2, ml_dtypes.int2),
    (2, False): (ir.DataType.UINT2, ml_dtypes.uint2),
    (4, True): (ir.DataType.INT4, ml_dtypes.int4),
    (4, False): (ir.DataType.UINT4, ml_dtypes.uint4),
    (8, True): (ir.DataType.INT8, np.int8),
    (8, False): (ir.DataType.UINT8, np.uint8),
}
"""ONNX and array type by bits and whether the grid is symmetric."""


def needed_opset(bits: int) -> int:
    """The oldest opset that has the integer type."""
    return OPSET_2_BITS if bits == 2 else OPSET


def packed_constant(
    graph: ir.Graph,
    stem: str,
    array: np.ndarray,
    dtype: ir.DataType,
    names: Names | None = None,
) -> ir.Value:
    """A new initializer of any element type; its name out of `names`, if they were read."""
    name = (names or Names(graph)).unused(stem)
    tensor = ir.Tensor(array, dtype=dtype, name=name)
    value = ir.Value(
        name=name,
        shape=ir.Shape(array.shape),
        type=ir.TensorType(dtype),
        const_value=_narrow(tensor) if dtype.bitwidth < 8 else tensor,
    )
    graph.register_initializer(value)
    return value


def _narrow(tensor: ir.TensorProtocol) -> ir.PackedTensor[NDArray[np.uint8]]:
    """The same as it will be in the file, several integers a byte."""
    packed = np.frombuffer(tensor.tobytes(), np.uint8)
    return ir.PackedTensor(packed, tensor.dtype, shape=list(tensor.shape.numpy()), name=tensor.name)


@dataclass(frozen=True, slots=True)
class Packed:
    """A quantized weight as constants.

    Attributes:
        levels: integers.
        scale: float16.
        zero: integers; None on a symmetric grid.
    """

    levels: ir.Value
    scale: ir.Value
    zero: ir.Value | None


def pack(
    graph: ir.Graph,
    stem: str,
    quantized: QuantizedWeight,
    *,
    rows_first: bool = False,
    names: Names | None = None,
) -> Packed:
    """New initializers of a quantized weight, `[K, N]` and `[G, N]`.

    Args:
        graph: that they become part of.
        stem: what their names begin with.
        quantized: the weight.
        rows_first: store the transposes, `[N, K]` and `[N, G]`.
        names: of the graph, if they were read.
    """
    names = names or Names(graph)
    dtype, stored = TYPES[(quantized.grid.bits, quantized.grid.symmetric)]

    def constant(suffix: str, array: np.ndarray, kind: ir.DataType) -> ir.Value:
        array = np.ascontiguousarray(array.T) if rows_first else array
        return packed_constant(graph, f"{stem}.{suffix}", array, kind, names)

    zero_GN = quantized.zero_GN
    return Packed(
        levels=constant("q", quantized.levels_KN.astype(stored), dtype),
        scale=constant("scale", quantized.scale_GN, ir.DataType.FLOAT16),
        zero=None if zero_GN is None else constant("zero", zero_GN.astype(stored), dtype),
    )


def named_node(
    graph: ir.Graph,
    op_type: str,
    inputs: Sequence[ir.Value],
    attributes: Mapping[str, int | Sequence[int] | ir.DataType],
    stem: str,
    shape: Sequence[int],
    dtype: ir.DataType,
    names: Names | None = None,
) -> ir.Node:
    """A node of the standard domain with one output, both called after `stem`; not inserted.

    Its name is out of `names`, if they were read.
    """
    node = ir.node(op_type, list(inputs), dict(attributes))
    output = node.outputs[0]
    output.name = (names or Names(graph)).unused(stem)
    output.shape, output.type = ir.Shape(shape), ir.TensorType(dtype)
    node.name = f"{output.name}/{op_type}"
    return node


def drop_unused(graph: ir.Graph, value: ir.Value) -> None:
    """Removes an initializer that nothing reads any more."""
    if value.is_initializer() and not value.uses() and not value.is_graph_output():
        del graph.initializers[value.name or ""]
