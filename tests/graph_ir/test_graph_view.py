"""The placement graph as networkx sees it."""

import networkx as nx

from graph_ir.graph_view import to_networkx, write_dot, write_graphml
from graph_ir.lower import lower
from graph_ir.passes.pipeline import run_lossless


def _workload(load_tiny, name):
    _, model = load_tiny(name)
    run_lossless(model.graph_model)
    return lower(model).workload


def test_edges_are_what_ops_hand_on(load_tiny) -> None:
    workload = _workload(load_tiny, "resnet_bottleneck")
    graph = to_networkx(workload)
    assert list(graph) == list(range(len(workload.ops)))
    assert nx.is_directed_acyclic_graph(graph)
    assert all(source < target for source, target in graph.edges)
    stem, pool = 0, 1
    edge = graph.edges[stem, pool]
    (written,) = (o.tensor for o in workload.ops[stem].operands if o.is_write)
    assert edge == {
        "size_bytes": workload.tensors[written].size_bytes,
        "tensors": workload.tensors[written].name,
    }
    assert sum(op["macs"] for _, op in graph.nodes(data=True)) == workload.macs
    assert sum(op["weight_bytes"] for _, op in graph.nodes(data=True)) == workload.weight_bytes


def test_exports_can_be_read_again(load_tiny, tmp_path) -> None:
    workload = _workload(load_tiny, "mobile_block")
    write_graphml(workload, tmp_path / "graph.graphml")
    again = nx.read_graphml(tmp_path / "graph.graphml", node_type=int)
    graph = to_networkx(workload)
    assert dict(again.nodes(data=True)) == dict(graph.nodes(data=True))
    assert sorted(again.edges) == sorted(graph.edges)
    write_dot(workload, tmp_path / "graph.dot")
    text = (tmp_path / "graph.dot").read_text()
    assert text.count(" -> ") == graph.number_of_edges()
    assert text.count("label=") == graph.number_of_edges() + graph.number_of_nodes()
