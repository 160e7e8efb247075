"""The placement graph for networkx, and its exports for graph viewers."""

from pathlib import Path

import networkx as nx

from graph_ir.workload import Op, Role, TensorKind, Workload


def to_networkx(workload: Workload) -> "nx.DiGraph[int]":
    """Ops as nodes, in execution order, and what one op hands to another as edges.

    A node is the op's index, with `name`, `family`, `macs`, `vector_ops`, `weight_bytes` and
    `io_bytes` (graph inputs and outputs that it touches). An edge has `size_bytes` and the
    `tensors` (names, joined by spaces) that the first op writes and the second reads.
    """
    graph: nx.DiGraph[int] = nx.DiGraph(name=workload.name, execution_type=workload.execution_type)
    writers: dict[int, int] = {}
    for at, op in enumerate(workload.ops):
        graph.add_node(
            at,
            name=op.name,
            family=op.family.value,
            macs=op.macs,
            vector_ops=op.vector_ops,
            weight_bytes=_bytes_of(workload, op, TensorKind.WEIGHT),
            io_bytes=_bytes_of(workload, op, TensorKind.IO),
        )
        for tensor in dict.fromkeys(o.tensor for o in op.operands if not o.is_write):
            if tensor in writers:
                _add_edge(graph, writers[tensor], at, workload, tensor)
        writers.update((o.tensor, at) for o in op.operands if o.role is Role.OUTPUT)
    return graph


def write_graphml(workload: Workload, path: Path) -> None:
    """Writes the placement graph as GraphML."""
    nx.write_graphml_xml(to_networkx(workload), path)


def write_dot(workload: Workload, path: Path) -> None:
    """Writes the placement graph as Graphviz DOT."""
    graph = to_networkx(workload)
    lines = [f"digraph {_quoted(workload.name)} {{", "  node [shape=box];"]
    for at, op in graph.nodes(data=True):
        label = _quoted("\n".join((op["name"], op["family"])))
        lines.append(f"  {at} [label={label}];")
    for source, target, edge in graph.edges(data=True):
        label = _quoted(f"{edge['size_bytes']} B")
        lines.append(f"  {source} -> {target} [label={label}, tooltip={_quoted(edge['tensors'])}];")
    path.write_text("\n".join([*lines, "}", ""]), encoding="utf-8")


def _bytes_of(workload: Workload, op: Op, kind: TensorKind) -> int:
    touched = dict.fromkeys(operand.tensor for operand in op.operands)
    return sum(
        workload.tensors[tensor].size_bytes
        for tensor in touched
        if workload.tensors[tensor].kind is kind
    )


def _add_edge(
    graph: "nx.DiGraph[int]", source: int, target: int, workload: Workload, tensor: int
) -> None:
    known = graph.get_edge_data(source, target, {"size_bytes": 0, "tensors": ""})
    graph.add_edge(
        source,
        target,
        size_bytes=known["size_bytes"] + workload.tensors[tensor].size_bytes,
        tensors=f"{known['tensors']} {workload.tensors[tensor].name}".strip(),
    )


def _quoted(text: str) -> str:
    """A DOT string; line ends become its escape."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
