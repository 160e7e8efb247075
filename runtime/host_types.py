"""Element types and extents of a graph's values, as the host computes them."""

from dataclasses import dataclass
from math import prod

import onnx_ir as ir

from graph_ir.errors import InputError
from graph_ir.text import quoted


@dataclass(frozen=True, slots=True)
class HostType:
    """A value on the host.

    Attributes:
        element: ONNX element type.
        shape: extents.
    """

    element: ir.DataType
    shape: tuple[int, ...]

    @property
    def size_bytes(self) -> int:
        """Packed bytes."""
        return (prod(self.shape) * self.element.bitwidth + 7) // 8

    @property
    def alignment_bytes(self) -> int:
        """Of an element in memory."""
        return max(1, self.element.bitwidth // 8)


def host_types(graph_model: ir.Model) -> dict[str, HostType]:
    """Types of all values that have a static shape and a fixed-size type.

    Raises:
        InputError: a value occurs twice.
    """
    types: dict[str, HostType] = {}
    graph = graph_model.graph
    values = [*graph.inputs, *graph.initializers.values()]
    values += [value for node in graph for value in node.outputs]
    for value in values:
        found = _type_of(value)
        if value.name and found is not None:
            if types.get(value.name, found) != found:
                raise InputError(f"value {quoted(value.name)}: has two types in the graph")
            types[value.name] = found
    return types


def _type_of(value: ir.Value) -> HostType | None:
    constant = value.const_value
    dtype = value.dtype or (constant.dtype if constant is not None else None)
    shape = value.shape
    if shape is None and constant is not None:
        shape = ir.Shape([extent if isinstance(extent, int) else -1 for extent in constant.shape])
    if dtype is None or shape is None or dtype is ir.DataType.STRING:
        return None
    extents = [extent for extent in shape if isinstance(extent, int) and extent >= 0]
    return HostType(dtype, tuple(extents)) if len(extents) == len(shape) else None
