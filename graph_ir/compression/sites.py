"""Where a model has weights that can be quantized, and why it has not elsewhere."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from math import prod

import numpy as np
import onnx_ir as ir

from graph_ir.compression.gemm import bias_refusal, factor_of
from graph_ir.compression.grid import F32
from graph_ir.errors import InputError
from graph_ir.onnx_values import (
    is_constant,
    node_name,
    normalized_axis,
    op_key,
    shape_of,
    value_name,
)

# A smaller weight saves nothing that its scales and its own kernel launch do not cost.
SMALLEST_EXTENT = 16

WEIGHT_TYPES = (ir.DataType.FLOAT, ir.DataType.FLOAT16, ir.DataType.DOUBLE)

# Scales are float16: below, they lose their precision; above, they are infinite.
SMALLEST_MAXIMUM = 1e-4
LARGEST_MAXIMUM = 65504.0

# Nodes with weights inside that no kernel takes as integers beside float activations, and those
# that have integers already.
_NO_KERNEL: dict[str, tuple[int, ...]] = {
    "Einsum": (0, 1),
    "GRU": (1, 2),
    "LSTM": (1, 2),
    "RNN": (1, 2),
    "com.microsoft::Attention": (1,),
    "com.microsoft::FusedGemm": (1,),
    "com.microsoft::FusedMatMul": (1,),
}
QUANTIZED = frozenset(
    {
        "ConvInteger",
        "MatMulInteger",
        "QLinearConv",
        "QLinearMatMul",
        "com.microsoft::DynamicQuantizeLSTM",
        "com.microsoft::DynamicQuantizeMatMul",
        "com.microsoft::GatherBlockQuantized",
        "com.microsoft::MatMulBnb4",
        "com.microsoft::MatMulIntegerToFloat",
        "com.microsoft::MatMulNBits",
        "com.microsoft::QAttention",
        "com.microsoft::QGemm",
        "com.microsoft::QMoE",
    }
)
"""Nodes that compute with integer weights."""


@dataclass(frozen=True, slots=True, eq=False)
class Site:
    """A matrix product with a constant right factor.

    Attributes:
        node: MatMul or Gemm.
        weight: the constant; `[N, K]` where `transposed`.
        input: the left factor.
        inner: K.
        columns: N.
        transposed: Gemm's transB.
        factor: of the weight (Gemm's alpha).
        shared: further products with the same weight, all with integers of their own value in
            the graph, because onnxruntime fuses no weight that two nodes read; equal bytes are
            stored once.
        tables: Gathers that look up columns of the weight (a tied embedding); they read the
            integers of the product.
    """

    node: ir.Node
    weight: ir.Value
    input: ir.Value
    inner: int
    columns: int
    transposed: bool
    factor: float = 1.0
    shared: tuple[ir.Node, ...] = ()
    tables: tuple[ir.Node, ...] = ()

    @property
    def name(self) -> str:
        """The node's, which is unique."""
        return node_name(self.node)

    def weight_KN(self) -> F32:
        """The weight as float32.

        Raises:
            InputError: it holds a NaN or an infinity, or entries beyond what scales hold.
        """
        array = finite_weight(self.weight, self.name)
        array = array.reshape(array.shape[-2:])
        if self.factor != 1.0:
            array = array * np.float32(self.factor)
        return np.ascontiguousarray(array.T) if self.transposed else array


@dataclass(frozen=True, slots=True)
class Skipped:
    """A node that looks like a site and is none.

    Attributes:
        name: of the node.
        reason: in one phrase.
    """

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Sites:
    """All matrix products of a graph, in topological order."""

    found: tuple[Site, ...]
    skipped: tuple[Skipped, ...]


def find_sites(graph: ir.Graph) -> Sites:
    """The products whose weight can be quantized."""
    found: list[Site] = []
    skipped: list[Skipped] = []
    first: dict[tuple[ir.Value, bool, float], int] = {}
    for node in graph:
        site = _site(node)
        if isinstance(site, str):
            skipped.append(Skipped(node_name(node), site))
        elif site is not None:
            key = (site.weight, site.transposed, site.factor)
            if key in first:
                earlier = found[first[key]]
                found[first[key]] = replace(earlier, shared=(*earlier.shared, node))
            else:
                first[key] = len(found)
                found.append(site)
    matrices: dict[tuple[int, ...], list[ir.Value]] = {}
    for value in graph.initializers.values():
        if value.shape is not None and len(value.shape) == 2:
            matrices.setdefault(shape_of(value), []).append(value)
    return Sites(tuple(_with_tables(matrices, site) for site in found), tuple(skipped))


def finite_weight(value: ir.Value, where: str) -> F32:
    """A constant as float32, in its own shape.

    Raises:
        InputError: it holds a NaN or an infinity, or entries beyond what scales hold.
    """
    tensor = value.const_value
    assert tensor is not None
    array = tensor.numpy().astype(np.float32, copy=False).view()
    array.flags.writeable = False  # It may be the model's own, or a mapped file's.
    # One pass and no mask: a sum is finite where all terms are, but for an overflow.
    with np.errstate(invalid="ignore"):
        finite = bool(np.isfinite(array.sum(dtype=np.float64)))
    if not finite:
        raise InputError(
            f"weight {value_name(value)} of {where}: expected finite values, got NaN or infinity"
        )
    largest = max(float(array.max()), -float(array.min())) if array.size else 0.0
    if 0.0 < largest < SMALLEST_MAXIMUM or largest > LARGEST_MAXIMUM:
        raise InputError(
            f"weight {value_name(value)} of {where}: expected a largest entry between "
            f"{SMALLEST_MAXIMUM:g} and {LARGEST_MAXIMUM:g}, the range of float16 scales, "
            f"got {largest:.3g}"
        )
    return array


def _site(node: ir.Node) -> Site | str | None:
    """A site, why a node with a weight is none, or None for a node without one."""
    key = op_key(node)
    if key in QUANTIZED:
        return f"its weight is quantized already ({node.op_type})"
    if key in _NO_KERNEL:
        weights = [node.inputs[at] for at in _NO_KERNEL[key] if at < len(node.inputs)]
        if any(weight is not None and is_constant(weight) for weight in weights):
            return f"no kernel of onnxruntime takes the weight of a {node.op_type} as integers"
        return None
    if key not in ("MatMul", "Gemm"):
        return None
    left, weight = node.inputs[0], node.inputs[1]
    assert left is not None
    assert weight is not None
    if not is_constant(weight):
        if _dequantized(weight):
            return "its weight is quantized already"
        if is_constant(left) or _dequantized(left):
            return "its weight is the left factor, which no fused product takes as integers"
        return "its right factor is no weight"
    return _product(node, left, weight)


def _product(node: ir.Node, left: ir.Value, weight: ir.Value) -> Site | str:
    if weight.dtype not in WEIGHT_TYPES:
        return f"its weight is {weight.dtype.name if weight.dtype else 'untyped'}"
    shape, rank = shape_of(weight), len(shape_of(left))
    if len(shape) < 2 or prod(shape[:-2]) != 1 or len(shape) > max(rank, 2):
        return f"its weight has {len(shape)} axes"
    if node.attributes.get_int("transA", 0):
        return "its left factor is transposed"
    transposed = bool(node.attributes.get_int("transB", 0))
    inner, columns = (shape[-1], shape[-2]) if transposed else shape[-2:]
    if min(inner, columns) < SMALLEST_EXTENT:
        return f"{inner} x {columns} is too small"
    if left.dtype is not ir.DataType.FLOAT:
        return f"its left factor is {left.dtype.name if left.dtype else 'untyped'}, not FLOAT"
    reason = bias_refusal(node, columns)
    if reason is not None:
        return reason
    return Site(node, weight, left, inner, columns, transposed, factor_of(node))


def _dequantized(value: ir.Value) -> bool:
    producer = value.producer()
    return producer is not None and op_key(producer) == "DequantizeLinear"


def _with_tables(matrices: Mapping[tuple[int, ...], list[ir.Value]], site: Site) -> Site:
    """The site with the Gathers that look up its columns; constants are given by their shape."""
    if site.factor != 1.0:
        return site
    if site.transposed:
        return replace(site, tables=tuple(row_gathers(site.weight)))
    # An exporter may have folded the transposition, so that the matrix is there twice.
    for value in matrices.get((site.columns, site.inner), ()):
        if value.dtype is site.weight.dtype and value is not site.weight:
            tables = tuple(row_gathers(value))
            if tables and _is_transposed(value, site.weight):
                return replace(site, tables=tables)
    return site


def row_gathers(table: ir.Value) -> Iterator[ir.Node]:
    """Gathers of whole rows of a constant."""
    for node, at in table.uses():
        if op_key(node) == "Gather" and at == 0:
            axis = node.attributes.get_int("axis", 0)
            if normalized_axis(axis, len(shape_of(table))) == 0 and not is_constant(_index(node)):
                yield node


def _index(node: ir.Node) -> ir.Value:
    index = node.inputs[1]
    assert index is not None, node
    return index


def _is_transposed(table: ir.Value, weight: ir.Value) -> bool:
    a, b = table.const_value, weight.const_value
    assert a is not None
    assert b is not None
    array = b.numpy()
    return bool(np.array_equal(a.numpy(), array.reshape(array.shape[-2:]).T))
