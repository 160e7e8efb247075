"""Fusion: from ONNX nodes to placement ops.

Fusion groups nodes, it rewrites nothing: the graph stays standard ONNX, and a group can be cut
out and executed by itself. Patterns run in a fixed order and claim nodes; what nobody claims is
an op by itself. Groups run in the model's own order, each at the place of its last computing
node, which is always valid because nothing outside a group reads what it computes inside.
"""

from collections.abc import Callable

import onnx_ir as ir

from graph_ir.errors import InputError
from graph_ir.fusion.attention import fuse_attention
from graph_ir.fusion.close import close_group
from graph_ir.fusion.elementwise import fuse_elementwise
from graph_ir.fusion.epilogue import fuse_other_epilogues, fuse_product_epilogues
from graph_ir.fusion.graph_index import GraphIndex
from graph_ir.fusion.groups import Fusion
from graph_ir.fusion.layer_norm import fuse_adds_before_norms, fuse_norms
from graph_ir.fusion.rope import fuse_rope
from graph_ir.fusion.softmax import claim_decomposed_softmaxes
from graph_ir.fusion.tails import settle_output_views
from graph_ir.fusion.views import STREAMED_BY_DEFAULT
from graph_ir.onnx_values import node_name, op_key
from graph_ir.op_rules.families import family_of

PATTERNS: list[Callable[[GraphIndex], None]] = [
    fuse_attention,
    claim_decomposed_softmaxes,
    fuse_norms,
    fuse_rope,
    fuse_product_epilogues,
    fuse_adds_before_norms,
    fuse_other_epilogues,
    fuse_elementwise,
]


def fuse(model: ir.Model, streamed: frozenset[str] = STREAMED_BY_DEFAULT) -> Fusion:
    """Groups the nodes of a model into placement ops; nodes that no output needs are left out.

    Args:
        model: with static shapes and unique node names; it is not changed.
        streamed: which of Transpose, Slice, Split and Expand cost nothing because the
            accelerator streams them.

    Raises:
        InputError: where an op has no lowering rule, or the graph is not a valid one.
    """
    _check_names(model.graph)
    index = GraphIndex(model.graph, streamed)
    for node in index.nodes:
        if not index.is_view(node):
            family_of(node)
    for pattern in PATTERNS:
        pattern(index)
    for node in index.nodes:
        if not index.is_view(node) and not index.is_taken(node):
            index.claim(family_of(node), node, [node], index.only_output(node))
    places = {id(seed): max(index.position[node] for node in seed.members) for seed in index.seeds}
    settle_output_views(index, list(model.graph.outputs))
    for seed in index.seeds:
        places.setdefault(id(seed), index.position[seed.anchor])
    seeds = sorted(index.seeds, key=lambda seed: places[id(seed)])
    groups = tuple(close_group(index, seed) for seed in seeds)
    return Fusion(groups, _owners(index))


def _owners(index: GraphIndex) -> dict[ir.Value, ir.Value]:
    owners: dict[ir.Value, ir.Value] = {}
    for node in index.nodes:
        if index.is_view(node):
            source = node.inputs[index.data_input(node)]
            assert source is not None, "a view always has its data input"
            for value in node.outputs:
                owners[value] = owners.get(source, source)
    return owners


def _check_names(graph: ir.Graph) -> None:
    seen: set[str] = set()
    for node in graph:
        if not node.name or node.name in seen:
            raise InputError(
                f"node {node_name(node)} ({op_key(node)}): expected a unique name for every node"
            )
        seen.add(node.name)
