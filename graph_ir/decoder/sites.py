"""Finds the attentions of a graph and their caches, by structure alone.

An attention is a softmax between two products of activations, or an operator that is one. What
its mask says is not looked at here: `graph_ir.decoder.fit` measures it.
"""

from collections import deque
from dataclasses import dataclass

import onnx_ir as ir

from graph_ir.errors import InputError
from graph_ir.node_forms import describe_node
from graph_ir.onnx_values import is_constant, op_key
from graph_ir.text import quoted

_PRODUCTS = frozenset({"MatMul", "Einsum", "com.microsoft::FusedMatMul"})
# Between the scores and the softmax, and between the softmax and the product with the values.
_PATH = frozenset(
    {"Add", "Sub", "Mul", "Div", "Where", "Cast", "Tanh", "Reshape", "Identity", "Concat", "Max"}
) | frozenset(
    {"Min", "Clip", "Unsqueeze", "Squeeze", "Transpose", "Expand", "Slice", "Dropout", "Gather"}
)
# Between a cache and the product that reads it: data is moved or repeated, or scaled.
_VIEWS = frozenset(
    {"Transpose", "Reshape", "Unsqueeze", "Squeeze", "Expand", "Identity", "Cast", "Tile"}
) | frozenset({"Gather", "Slice", "Split", "Mul", "Div", "Concat"})
_WRITES = frozenset({"ScatterND", "ScatterElements", "TensorScatter"})
_TO_INPUT = frozenset({"Transpose", "Cast", "Identity"})


@dataclass(frozen=True, slots=True)
class Cache:
    """A cache that an attention reads.

    Attributes:
        past: the graph input.
        axis: of its positions, in the graph input.
        held: `past` as the update reads it.
        new: what is appended or written.
        new_axis: of its positions.
        present: what the cache is afterwards.
        grows: whether the update appends.
    """

    past: ir.Value
    axis: int
    held: ir.Value
    new: ir.Value
    new_axis: int
    present: ir.Value
    grows: bool


@dataclass(frozen=True, slots=True)
class Site:
    """An attention in the source.

    Attributes:
        form: what it is written as.
        node: whose first output is the attention's.
        query: as the scores' product reads it, a scalar factor taken off.
        key: of the call's rows, before they go into the cache.
        value: likewise.
        key_cache: None where nothing is cached.
        value_cache: likewise.
        query_heads: where the node says it, else 0.
        kv_heads: likewise.
    """

    form: str
    node: ir.Node
    query: ir.Value
    key: ir.Value
    value: ir.Value
    key_cache: Cache | None
    value_cache: Cache | None
    query_heads: int = 0
    kv_heads: int = 0


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
        InputError: an attention whose key and value are not cached alike, or a cache that several
            attentions read.
    """
    floats = [v for v in graph.inputs if v.dtype is not None and v.dtype.is_floating_point()]
    moving = depends_on_tokens(graph, [tokens, *floats])
    sites = [site for node in graph if (site := _decomposed(node, moving, path)) is not None]
    owners: dict[ir.Value, Site] = {}
    for site in sites:
        caches = (site.key_cache, site.value_cache)
        if (caches[0] is None) != (caches[1] is None):
            raise InputError(
                f"{path}: {describe_node(site.node)}: expected a cache of keys and one of values, "
                "found only one of them"
            )
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


def _decomposed(node: ir.Node, moving: set[ir.Value], path: str) -> Site | None:
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
    key_cache, query = _cache_behind(right), left
    key = right
    if key_cache is None and _cache_behind(left) is not None:
        key_cache, query, key = _cache_behind(left), right, left
    value_cache = _cache_behind(value)
    return Site(
        "decomposed",
        weighted,
        _without_factor(query),
        key if key_cache is None else key_cache.new,
        value if value_cache is None else value_cache.new,
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
            if left is not None and right is not None and _is_number(right):
                value = left
                continue
            factor_first = left is not None and _is_number(left) and op_key(producer) == "Mul"
            if factor_first and right is not None:
                value = right
                continue
            return value
        if op_key(producer) == "Identity" and producer.inputs[0] is not None:
            value = producer.inputs[0]
            continue
        return value


def _is_number(value: ir.Value) -> bool:
    if not is_constant(value):
        return False
    tensor = ir.convenience.get_const_tensor(value)
    return tensor is not None and tensor.size == 1


def _cache_behind(value: ir.Value | None) -> Cache | None:
    """The cache that a product's operand reads, through views."""
    while value is not None:
        node = value.producer()
        if node is None:
            return None
        cache = _update(node)
        if cache is not None:
            return cache
        if op_key(node) not in _VIEWS:
            return None
        following = node.inputs[0]
        if op_key(node) in ("Mul", "Div") and following is not None and _is_number(following):
            following = node.inputs[1]
        value = following
    return None


def _update(node: ir.Node) -> Cache | None:
    """The cache that a node brings up to date."""
    if op_key(node) == "Concat" and len(node.inputs) == 2:
        held, new = node.inputs
        if held is None or new is None:
            return None
        axis = node.attributes.get_int("axis", 0)
        return _cache(held, new, axis, node, grows=True)
    if op_key(node) in _WRITES:
        held = node.inputs[0]
        new = node.inputs[1] if op_key(node) == "TensorScatter" else node.inputs[2]
        if held is None or new is None:
            return None
        axis = -2 if op_key(node) == "ScatterND" else node.attributes.get_int("axis", -2)
        return _cache(held, new, axis, node, grows=False)
    return None


def _cache(held: ir.Value, new: ir.Value, axis: int, node: ir.Node, *, grows: bool) -> Cache | None:
    past = held
    permutations: list[tuple[int, ...]] = []
    while (producer := past.producer()) is not None:
        if op_key(producer) not in _TO_INPUT or producer.inputs[0] is None:
            return None
        if op_key(producer) == "Transpose":
            permutations.append(tuple(producer.attributes.get_ints("perm", ())))
        past = producer.inputs[0]
    if not past.is_graph_input() or past.shape is None or len(past.shape) < 3:
        return None
    own = axis % len(past.shape)
    outer = own
    for permutation in permutations:
        outer = permutation[outer]
    return Cache(past, outer, held, new, own, node.outputs[0], grows)
