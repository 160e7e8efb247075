"""A graph of an artifact and its plan: do they speak of the same nodes and tensors?"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from accelerator_sim.plan import IMAGE_TENSOR, STAGING_TENSOR, Plan
from graph_ir.checks import check_proto
from graph_ir.errors import InputError
from graph_ir.proto_file import read_model_proto
from graph_ir.text import quoted
from graph_ir.workload import TensorKind

_PLAN_ONLY = (STAGING_TENSOR, IMAGE_TENSOR)


@dataclass(frozen=True, slots=True)
class GraphNames:
    """The names in a graph.

    Attributes:
        inputs: graph inputs that are not initializers.
        outputs: graph outputs.
        values: every value: inputs, initializers, results of nodes.
        nodes: name of every node.
        reads: values that each node reads, by its name.
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    values: frozenset[str]
    nodes: tuple[str, ...]
    reads: Mapping[str, tuple[str, ...]]


def read_graph(path: Path) -> GraphNames:
    """Parse a model, check its structure, the declared sizes and the places of external data.

    Raises:
        InputError: the first thing that is wrong.
    """
    proto = read_model_proto(path)
    check_proto(proto, path)
    graph = proto.graph
    initializers = [tensor.name for tensor in graph.initializer]
    initializers += [sparse.values.name for sparse in graph.sparse_initializer]
    names = [node.name for node in graph.node]
    for index, name in enumerate(names):
        if not name:
            raise InputError(f"{path}: node #{index} has no name")
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InputError(f"{path}: node {quoted(twice)}: the name is given twice")
    inputs = [value.name for value in graph.input]
    produced = [name for node in graph.node for name in node.output if name]
    return GraphNames(
        inputs=tuple(name for name in inputs if name not in set(initializers)),
        outputs=tuple(value.name for value in graph.output),
        values=frozenset((*inputs, *initializers, *produced)),
        nodes=tuple(names),
        reads={node.name: tuple(node.input) for node in graph.node},
    )


def check_plan_matches_graph(plan: Plan, graph: GraphNames, where: str) -> None:
    """Compare the names of a plan with those of its graph, both ways.

    Args:
        plan: that the validator accepts.
        graph: that it is for.
        where: the plan's file, for the message.

    Raises:
        InputError: with the first name that only one of them has.
    """
    planned = {tensor.name for tensor in plan.tensors}
    for tensor in plan.tensors:
        if tensor.name in _PLAN_ONLY or tensor.kind == TensorKind.SCRATCH:
            continue
        if tensor.name not in graph.values:
            raise InputError(f"{where}: tensor {quoted(tensor.name)}: the graph has no such value")
    covered: set[str] = set()
    known_nodes = set(graph.nodes)
    for op in plan.ops:
        for node in op.nodes:
            if node not in known_nodes:
                raise InputError(
                    f"{where}: op {quoted(op.name)}: the graph has no node {quoted(node)}"
                )
            covered.add(node)
    for name in graph.nodes:
        if name not in covered:
            raise InputError(f"{where}: node {quoted(name)} of the graph is in no op of the plan")
    read = {name for names in graph.reads.values() for name in names}
    for name in (*graph.inputs, *graph.outputs):
        # An input that nothing reads needs no memory.
        if name not in planned and (name in graph.outputs or name in read):
            raise InputError(f"{where}: {quoted(name)} of the graph has no memory in the plan")
