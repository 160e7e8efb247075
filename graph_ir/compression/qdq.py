"""Nodes of quantized graphs: how they are made, named and put in the place of others."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from graph_ir.compression.emit import packed_constant
from graph_ir.onnx_values import shape_of, value_name
from graph_ir.passes.rewiring import Names, graph_of

Attributes = Mapping[str, int | Sequence[int]]

# onnxruntime's integer kernels take activations without a sign; it rewrites others.
ACTIVATION_LEVELS = 255


@dataclass(frozen=True, slots=True)
class ActivationGrid:
    """`x ~ (q - zero) * scale`, one grid for all of a tensor, q a byte without a sign.

    Attributes:
        scale: positive, of float32 precision.
        zero: the byte that is 0.
    """

    scale: float
    zero: int

    @property
    def lowest(self) -> float:
        """Smallest value."""
        return -self.zero * self.scale

    @property
    def highest(self) -> float:
        """Largest value."""
        return (ACTIVATION_LEVELS - self.zero) * self.scale

    def rounded(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Every value on the grid, as QuantizeLinear and DequantizeLinear give it."""
        scale = np.float32(self.scale)
        levels = np.clip(np.rint(values / scale) + self.zero, 0, ACTIVATION_LEVELS)
        return np.asarray((levels - self.zero) * scale, np.float32)


def grid_of_range(low: float, high: float) -> ActivationGrid:
    """The grid that spans a range; 0 is always on it, exactly."""
    low, high = min(low, 0.0), max(high, 0.0)
    scale = float(np.float32((high - low) / ACTIVATION_LEVELS))
    if not np.isfinite(scale) or scale < np.finfo(np.float32).tiny:
        return ActivationGrid(1.0, 0)
    return ActivationGrid(scale, int(np.clip(np.rint(-low / scale), 0, ACTIVATION_LEVELS)))


class Writer:
    """Adds nodes and constants to a graph under names that nothing else has."""

    def __init__(self, graph: ir.Graph) -> None:
        self._graph = graph
        self._taken = {node.name or "" for node in graph}
        self._names = Names(graph)

    def node(
        self,
        before: ir.Node,
        op_type: str,
        inputs: Sequence[ir.Value | None],
        stem: str,
        dtypes: Sequence[ir.DataType],
        shapes: Sequence[Sequence[int]],
        attributes: Attributes | None = None,
    ) -> tuple[ir.Value, ...]:
        """The outputs of a new node in front of another.

        Args:
            before: which node it is put in front of.
            op_type: of the standard domain.
            inputs: of it.
            stem: what its name and its outputs' begin with.
            dtypes: of its outputs.
            shapes: of its outputs.
            attributes: of it.
        """
        name = stem
        suffix = 1
        while name in self._taken:
            suffix += 1
            name = f"{stem}_{suffix}"
        self._taken.add(name)
        node = ir.node(
            op_type, list(inputs), dict(attributes or {}), name=name, num_outputs=len(dtypes)
        )
        self._graph.insert_before(before, node)
        for at, (value, dtype, shape) in enumerate(zip(node.outputs, dtypes, shapes, strict=True)):
            value.name = self._names.unused(f"{name}:{at}" if at else f"{name}:out")
            value.type = ir.TensorType(dtype)
            value.shape = ir.Shape(shape)
        return tuple(node.outputs)

    def constant(self, stem: str, array: NDArray[np.generic], dtype: ir.DataType) -> ir.Value:
        """A new initializer."""
        return packed_constant(self._graph, stem, array, dtype, self._names)

    def quantized(
        self, before: ir.Node, value: ir.Value, grid: ActivationGrid
    ) -> tuple[ir.Value, ir.Value]:
        """A float32 value as bytes, and as the floats that these stand for."""
        name, shape = value_name(value), shape_of(value)
        scale, zero = self._grid(name, grid)
        (levels,) = self.node(
            before,
            "QuantizeLinear",
            [value, scale, zero],
            f"{name}/quantize",
            [ir.DataType.UINT8],
            [shape],
        )
        return levels, self._floats(before, levels, name, scale, zero)

    def dequantized(self, before: ir.Node, levels: ir.Value, grid: ActivationGrid) -> ir.Value:
        """The floats that bytes stand for."""
        name = value_name(levels)
        scale, zero = self._grid(name, grid)
        return self._floats(before, levels, name, scale, zero)

    def _grid(self, name: str, grid: ActivationGrid) -> tuple[ir.Value, ir.Value]:
        return (
            self.constant(f"{name}.scale", np.array(grid.scale, np.float32), ir.DataType.FLOAT),
            self.constant(f"{name}.zero", np.array(grid.zero, np.uint8), ir.DataType.UINT8),
        )

    def _floats(
        self, before: ir.Node, levels: ir.Value, name: str, scale: ir.Value, zero: ir.Value
    ) -> ir.Value:
        (floats,) = self.node(
            before,
            "DequantizeLinear",
            [levels, scale, zero],
            f"{name}/dequantize",
            [ir.DataType.FLOAT],
            [shape_of(levels)],
        )
        return floats


def take_over(node: ir.Node, value: ir.Value) -> None:
    """Lets all that read a node's only output read another value, and removes the node.

    A graph output keeps its name.
    """
    (old,) = node.outputs
    name = old.name
    is_output = old.is_graph_output()
    old.replace_all_uses_with(value, replace_graph_outputs=is_output)
    drop(node)
    if is_output:
        old.name = None
        value.name = name


def drop(node: ir.Node) -> None:
    """Removes a node that nobody reads, and constants that only it read."""
    graph = graph_of(node)
    read = [value for value in node.inputs if value is not None]
    graph.remove(node, safe=True)
    for value in read:
        if value.is_initializer() and not value.uses() and not value.is_graph_output():
            graph.initializers.pop(value.name or "", None)


def only_reader(value: ir.Value) -> ir.Node | None:
    """The one node that reads a value, once; None for a graph output."""
    uses = value.uses()
    if value.is_graph_output() or len(uses) != 1:
        return None
    (use,) = uses
    return use.node


def first_reader(value: ir.Value) -> ir.Node:
    """Of the nodes that read a value, the first of the graph."""
    readers = [use.node for use in value.uses()]
    inside = set(readers)
    return next(node for node in graph_of(readers[0]) if node in inside)
