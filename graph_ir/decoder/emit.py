"""Adds nodes to a graph that is being rewritten, with names that nothing else has."""

from collections.abc import Sequence
from copy import copy

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray


class Emitter:
    """Makes nodes before a given one.

    Args:
        graph: changed in place.
        stem: what the names of nodes and values begin with.
        before: where the nodes go; at the end of the graph where it is None.
    """

    def __init__(self, graph: ir.Graph, stem: str, before: ir.Node | None = None) -> None:
        self._graph = graph
        self._before = before
        self._stem = stem
        self._taken = {value.name for node in graph for value in node.outputs}
        self._taken.update(node.name for node in graph)
        self._taken.update(value.name for value in graph.inputs)
        self._taken.update(graph.initializers)

    def at(self, stem: str, before: ir.Node | None) -> "Emitter":
        """Another one for the same graph, which need not be looked through again."""
        other = copy(self)
        other._stem, other._before = stem, before
        return other

    def fresh(self, part: str) -> str:
        """A name that is not in use."""
        name = f"{self._stem}.{part}"
        suffix = 1
        while name in self._taken:
            suffix += 1
            name = f"{self._stem}.{part}_{suffix}"
        self._taken.add(name)
        return name

    def constant(self, array: NDArray[np.generic], part: str) -> ir.Value:
        """An initializer."""
        name = self.fresh(part)
        tensor = ir.tensor(array, name=name)
        value = ir.Value(
            name=name,
            shape=ir.Shape(array.shape),
            type=ir.TensorType(tensor.dtype),
            const_value=tensor,
        )
        self._graph.register_initializer(value)
        return value

    def ints(self, values: Sequence[int], part: str = "ints") -> ir.Value:
        """A vector of int64."""
        return self.constant(np.array(values, np.int64), part)

    def add(self, node: ir.Node) -> ir.Value:
        """Puts a node in its place and names its outputs; its first output."""
        if self._before is None:
            self._graph.append(node)
        else:
            self._graph.insert_before(self._before, node)
        for output in node.outputs:
            output.name = output.name or self.fresh("out")
        return node.outputs[0]

    def op(
        self,
        kind: str,
        inputs: Sequence[ir.Value | None],
        attributes: Sequence[ir.Attr] = (),
        outputs: int = 1,
    ) -> tuple[ir.Value, ...]:
        """A standard node; its outputs."""
        name = self.fresh(kind.lower())
        node = ir.Node("", kind, inputs, attributes, num_outputs=outputs, name=name)
        for at, output in enumerate(node.outputs):
            output.name = self.fresh(
                f"{kind.lower()}.out" if at == 0 else f"{kind.lower()}.out{at}"
            )
        self.add(node)
        return tuple(node.outputs)

    def reshape(self, value: ir.Value, shape: Sequence[int]) -> ir.Value:
        """A value in another shape, in which one extent may be -1."""
        return self.op("Reshape", [value, self.ints(shape, "shape")])[0]

    def transpose(self, value: ir.Value, order: Sequence[int]) -> ir.Value:
        """A value with its axes permuted."""
        return self.op("Transpose", [value], [ir.AttrInt64s("perm", list(order))])[0]

    def cast(self, value: ir.Value, data_type: ir.DataType) -> ir.Value:
        """A value in another type."""
        return self.op("Cast", [value], [ir.AttrInt64("to", int(data_type))])[0]
