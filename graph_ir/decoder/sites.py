"""Finds the attentions of a graph and their caches, by structure alone.

An attention is a softmax between two products of activations, or an operator that is one. What
its mask says is not looked at here: `graph_ir.decoder.fit` measures it.
"""

from collections import deque

import onnx_ir as ir

from graph_ir.decoder.cache_updates import cache_behind, is_number, uncached_rows
from graph_ir.decoder.op_sites import op_site
from graph_ir.decoder.site import Site
from graph_ir.errors import InputError
from graph_ir.node_forms import describe_node
from graph_ir.onnx_values import op_key
from graph_ir.text import quoted

_PRODUCTS = frozenset({"MatMul", "Einsum", "com.microsoft::FusedMatMul"})
# Between the scores and the softmax, and between the softmax and the product with the values.
_PATH = frozenset(
    {"Add", "Sub", "Mul", "Div", "Where", "Cast", "Tanh", "Reshape", "Identity", "Concat", "Max"}
) | frozenset(
    {"Min", "Clip", "Unsqueeze", "Squeeze", "Transpose", "Expand", "Slice", "Dropout", "Gather"}
)


def depends_on_tokens(graph: ir.Graph, sources: list[ir.Value]) -> set[ir.Value]:
    """Values whose elements, not only their extents, depend on some inputs."""
    reached = set(sources)
    for node in graph:
        if op_key(node) in ("Shape", "Size"):
            continue
        if any(value in reached for value in node.inputs):
            reached.update(node.outputs)
    return reached


def find_sites(graph: ir.Graph, tokens: ir.Value, path: str) -> tuple[Site, ...]:
    """All attentions, in topological order.

    Args:
        graph: sorted.
        tokens: its input with the tokens.
        path: for messages.

    Raises:
        InputError: an attention of a form that is not understood, or a cache that several
            attentions read.
    """
    floats = [v for v in graph.inputs if v.dtype is not None and v.dtype.is_floating_point()]
    moving = depends_on_tokens(graph, [tokens, *floats])
    sites = []
    for node in graph:
        site = op_site(node, path) or _decomposed(node, moving)
        if site is not None:
            sites.append(site)
    owners: dict[ir.Value, Site] = {}
    for site in sites:
        caches = (site.key_cache, site.value_cache)
        for cache in caches:
            if cache is None:
                continue
            other = owners.setdefault(cache.past, site)
            if other is not site:
                raise InputError(
                    f"{path}: cache {quoted(cache.past.name or '')} is shared by "
                    f"{describe_node(other.node)} and {describe_node(site.node)}; expected one "
                    "attention for each cache"
                )
    return tuple(sites)


def _decomposed(node: ir.Node, moving: set[ir.Value]) -> Site | None:
    if op_key(node) != "Softmax" or node.outputs[0] not in moving:
        return None
    scores = _search(node.inputs[0], moving, backward=True)
    if scores is None:
        return None
    weighted = _search(node.outputs[0], moving, backward=False)
    if weighted is None or weighted is scores:
        return None
    weights = _weights_of(weighted, node.outputs[0])
    value = next(v for at, v in enumerate(weighted.inputs) if v is not None and at != weights)
    left, right = scores.inputs[0], scores.inputs[1]
    assert left is not None, scores
    assert right is not None, scores
    key_cache, query = cache_behind(right), left
    key = right
    if key_cache is None and cache_behind(left) is not None:
        key_cache, query, key = cache_behind(left), right, left
    value_cache = cache_behind(value)
    return Site(
        "decomposed",
        weighted,
        _without_factor(query),
        uncached_rows(key) if key_cache is None else key_cache.new,
        uncached_rows(value) if value_cache is None else value_cache.new,
        key_cache,
        value_cache,
    )


def _weights_of(product: ir.Node, softmax: ir.Value) -> int:
    """Which operand of the product comes from the softmax."""
    for at, operand in enumerate(product.inputs):
        pending = [operand]
        while pending:
            value = pending.pop()
            if value is softmax:
                return at
            producer = value.producer() if value is not None else None
            if producer is not None and op_key(producer) in _PATH:
                pending.extend(producer.inputs)
    raise AssertionError(product)


def _search(start: ir.Value | None, moving: set[ir.Value], backward: bool) -> ir.Node | None:
    """The nearest product of two activations, through elementwise nodes and views."""
    pending = deque([start])
    seen = {start}
    while pending:
        value = pending.popleft()
        if value is None or value not in moving:
            continue
        producer = value.producer()
        if backward:
            nodes = [producer] if producer is not None else []
        else:
            nodes = [use.node for use in value.uses()]
        for node in nodes:
            if op_key(node) in _PRODUCTS and all(v in moving for v in node.inputs):
                return node
            if op_key(node) not in _PATH:
                continue
            for step in node.inputs if backward else node.outputs:
                if step not in seen:
                    seen.add(step)
                    pending.append(step)
    return None


def _without_factor(value: ir.Value) -> ir.Value:
    """What a value is before it is multiplied by a number."""
    while True:
        producer = value.producer()
        if producer is None or value.is_graph_output():
            return value
        if op_key(producer) in ("Mul", "Div") and len(producer.inputs) == 2:
            left, right = producer.inputs
            if left is not None and right is not None and is_number(right):
                value = left
                continue
            factor_first = left is not None and is_number(left) and op_key(producer) == "Mul"
            if factor_first and right is not None:
                value = right
                continue
            return value
        if op_key(producer) == "Identity" and producer.inputs[0] is not None:
            value = producer.inputs[0]
            continue
        return value
