"""Where a model has weights that can be quantized, and why it has not elsewhere."""

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from graph_ir.compression.grid import F32
from graph_ir.errors import InputError
from graph_ir.onnx_values import is_constant, node_name, op_key, shape_of, value_name

# A smaller weight saves nothing that its scales and its own kernel launch do not cost.
SMALLEST_EXTENT = 16


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
    """

    node: ir.Node
    weight: ir.Value
    input: ir.Value
    inner: int
    columns: int
    transposed: bool

    @property
    def name(self) -> str:
        """The node's, which is unique."""
        return node_name(self.node)

    def weight_KN(self) -> F32:
        """The weight as float32.

        Raises:
            InputError: it holds a NaN or an infinity.
        """
        tensor = self.weight.const_value
        assert tensor is not None
        array = tensor.numpy().astype(np.float32)
        if not np.isfinite(array).all():
            raise InputError(
                f"weight {value_name(self.weight)} of {self.name}: expected finite values, "
                "got NaN or infinity"
            )
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
    for node in graph:
        if op_key(node) not in ("MatMul", "Gemm"):
            continue
        site = _site(node)
        if isinstance(site, Site):
            found.append(site)
        else:
            skipped.append(Skipped(node_name(node), site))
    return Sites(tuple(found), tuple(skipped))


def _site(node: ir.Node) -> Site | str:
    left, weight = node.inputs[0], node.inputs[1]
    assert left is not None
    assert weight is not None
    if not is_constant(weight):
        quantized = weight.producer()
        if quantized is not None and op_key(quantized) == "DequantizeLinear":
            return "its weight is quantized already"
        return "its right factor is no weight"
    if weight.dtype not in (ir.DataType.FLOAT, ir.DataType.FLOAT16, ir.DataType.DOUBLE):
        return f"its weight is {weight.dtype.name if weight.dtype else 'untyped'}"
    shape = shape_of(weight)
    if len(shape) != 2:
        return f"its weight has {len(shape)} axes"
    if node.attributes.get_int("transA", 0):
        return "its left factor is transposed"
    transposed = bool(node.attributes.get_int("transB", 0))
    inner, columns = (shape[1], shape[0]) if transposed else shape
    if min(inner, columns) < SMALLEST_EXTENT:
        return f"{inner} x {columns} is too small"
    if left.dtype is not ir.DataType.FLOAT:
        return f"its left factor is {left.dtype.name if left.dtype else 'untyped'}, not FLOAT"
    return Site(node, weight, left, inner, columns, transposed)
