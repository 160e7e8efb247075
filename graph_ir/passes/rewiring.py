"""Small edits of a graph that several passes share."""

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from graph_ir.node_forms import is_constant, static_shape


def bypass(node: ir.Node, output: ir.Value, replacement: ir.Value) -> bool:
    """Removes a node and lets all that read its output read another value.

    A graph output keeps its name. Where that is impossible (the replacement is an input, a
    constant or itself an output) nothing is changed.

    Args:
        node: to remove; its other outputs must be unused.
        output: the one output of the node that is used.
        replacement: a value of the same type and shape.

    Returns:
        Whether the node is gone.
    """
    is_output = output.is_graph_output()
    if is_output and (
        replacement.is_graph_input()
        or replacement.is_initializer()
        or replacement.is_graph_output()
        or sum(value is output for value in outputs_of(node)) > 1
    ):
        return False
    output.replace_all_uses_with(replacement, replace_graph_outputs=is_output)
    name = output.name
    graph = graph_of(node)
    graph.remove(node, safe=True)
    if is_output:
        replacement.name = name
    return True


def graph_of(node: ir.Node) -> ir.Graph:
    """The graph that a node is in."""
    graph = node.graph
    assert isinstance(graph, ir.Graph), node
    return graph


def outputs_of(node: ir.Node) -> tuple[ir.Value, ...]:
    """Outputs of the graph that a node is in."""
    return tuple(graph_of(node).outputs)


class Names:
    """The names of a graph's values, for whoever needs several new ones."""

    def __init__(self, graph: ir.Graph) -> None:
        """Reads them; names that others give afterwards are not known, initializers' are."""
        self._initializers = graph.initializers
        self._taken = {value.name for node in graph for value in node.outputs}
        self._taken.update(value.name for value in graph.inputs)

    def unused(self, stem: str) -> str:
        """A name that no value has, and that is not given again; see `unused_name`."""
        name = stem
        suffix = 1
        while name in self._taken or name in self._initializers:
            suffix += 1
            name = f"{stem}_{suffix}"
        self._taken.add(name)
        return name


def unused_name(graph: ir.Graph, stem: str) -> str:
    """A name that no value of the graph has.

    Args:
        graph: in which it must be unique.
        stem: the name, if it is free, otherwise what it begins with.
    """
    return Names(graph).unused(stem)


def add_constant(graph: ir.Graph, stem: str, array: NDArray[np.generic]) -> ir.Value:
    """A new initializer with a name that nothing else has.

    Args:
        graph: that it becomes part of.
        stem: what its name begins with.
        array: its value, which must not be changed afterwards.
    """
    name = unused_name(graph, stem)
    tensor = ir.tensor(array, name=name)
    value = ir.Value(
        name=name,
        shape=ir.Shape(array.shape),
        type=ir.TensorType(tensor.dtype),
        const_value=tensor,
    )
    graph.register_initializer(value)
    return value


def constant_array(value: ir.Value | None) -> NDArray[np.generic] | None:
    """The value of a constant, None where it is computed."""
    if value is None or value.const_value is None or not is_constant(value):
        return None
    return value.const_value.numpy()


def shape_of(value: ir.Value) -> tuple[int, ...]:
    """The static extents of a value."""
    assert value.shape is not None, value
    return static_shape(value.shape)
