"""Replaces an `If` whose condition is known by the branch that it takes."""

from collections import deque
from collections.abc import Iterator

import onnx_ir as ir

from graph_ir.errors import InputError
from graph_ir.node_forms import describe_node, is_constant

_CONTROL_FLOW = frozenset({"If", "Loop", "Scan", "SequenceMap"})


def straight_nodes(graph: ir.Graph, source: str) -> Iterator[ir.Node]:
    """The nodes of a graph in order, those of a branch where an `If` that takes it was.

    Whoever folds each node that it is given makes conditions known that depend on it.

    Args:
        graph: in topological order; changed in place.
        source: file name, for messages.

    Raises:
        InputError: control flow that depends on data.
    """
    pending = deque(graph)
    while pending:
        node = pending.popleft()
        if node.op_type == "If" and node.domain == "":
            taken = take_branch(node)
            if taken is not None:
                pending.extendleft(reversed(taken))
                continue
        if node.op_type in _CONTROL_FLOW and node.domain == "":
            raise InputError(
                f"{source}: {describe_node(node)}: control flow that depends on data is not "
                "supported"
            )
        yield node


def take_branch(node: ir.Node) -> tuple[ir.Node, ...] | None:
    """Moves the nodes of the branch that a constant condition selects into the node's graph.

    Args:
        node: an `If`.

    Returns:
        The moved nodes in order, or None where the condition is known only at run time, or the
        node is not well formed.
    """
    condition = node.inputs[0] if node.inputs else None
    if condition is None or not is_constant(condition):
        return None
    assert condition.const_value is not None
    values = condition.const_value.numpy().reshape(-1)
    if len(values) != 1:
        return None
    attribute = node.attributes.get("then_branch" if bool(values[0]) else "else_branch")
    if attribute is None or attribute.type is not ir.AttributeType.GRAPH:
        return None
    branch = attribute.as_graph()
    if branch.inputs or len(branch.outputs) != len(node.outputs):
        return None
    graph = node.graph
    assert isinstance(graph, ir.Graph)
    taken = {name for inner in graph for output in inner.outputs if (name := output.name)}
    taken.update(graph.initializers)
    taken.update(value.name for value in graph.inputs if value.name)
    moved = tuple(branch)
    results = list(branch.outputs)
    constants = list(branch.initializers.values())
    branch.outputs.clear()
    branch.initializers.clear()
    for value in [*constants, *(output for inner in moved for output in inner.outputs)]:
        if value.name:
            value.name = _fresh(value.name, taken)
    for constant in constants:
        graph.register_initializer(constant)
    branch.remove(moved)
    graph.insert_before(node, moved)
    for output, result in zip(node.outputs, results, strict=True):
        keep = output.is_graph_output()
        name = output.name
        if keep and (result.is_graph_output() or result.is_graph_input() or is_constant(result)):
            copy = ir.node("Identity", [result])
            graph.insert_before(node, copy)
            moved = (*moved, copy)
            result = copy.outputs[0]
        output.replace_all_uses_with(result, replace_graph_outputs=True)
        if keep:
            result.name = name
    graph.remove(node, safe=True)
    for other in node.attributes.values():
        if other.type is ir.AttributeType.GRAPH and other is not attribute:
            _detach(other.as_graph())
    return moved


def _detach(branch: ir.Graph) -> None:
    """Lets go of the outer values that a branch reads which is not taken."""
    for inner in ir.traversal.RecursiveGraphIterator(branch):
        for index in range(len(inner.inputs)):
            inner.replace_input_with(index, None)


def _fresh(name: str, taken: set[str]) -> str:
    candidate = name
    suffix = 1
    while candidate in taken:
        suffix += 1
        candidate = f"{name}_{suffix}"
    taken.add(candidate)
    return candidate
