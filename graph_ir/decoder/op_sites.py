"""Operators that are a whole attention: which of their inputs are queries, keys, values, caches."""

from collections.abc import Callable

import onnx_ir as ir

from graph_ir.decoder.cache_updates import Cache, cache_behind, input_behind
from graph_ir.decoder.site import Site
from graph_ir.errors import InputError
from graph_ir.node_forms import describe_node
from graph_ir.onnx_values import op_key

# Operators that attend, but that are not understood, with the reason.
_REFUSED: dict[str, str] = {
    "com.microsoft::Attention": "it holds the projections of queries, keys and values itself",
    "com.microsoft::DecoderMaskedMultiHeadAttention": "it takes one row at a time",
    "com.microsoft::DecoderMaskedSelfAttention": "it takes one row at a time",
    "com.microsoft::DecoderAttention": "it holds the projections of queries, keys and values",
    "com.microsoft::PackedAttention": "it packs several sequences into one",
    "com.microsoft::PackedMultiHeadAttention": "it packs several sequences into one",
    "com.microsoft::PagedAttention": "its caches are pages that several sequences share",
    "com.microsoft::QAttention": "it holds quantized projections of queries, keys and values",
    "com.microsoft::LongformerAttention": "it is not causal",
    "com.microsoft::SparseAttention": "it leaves out blocks of positions",
    "com.microsoft::LinearAttention": "its state is not a cache of keys and values",
}


def op_site(node: ir.Node, path: str) -> Site | None:
    """The attention that a node is, None where it is none.

    Args:
        node: of a graph in which `graph_ir.decoder.op_forms` has spread out what operators pack.
        path: for messages.

    Raises:
        InputError: an attention of a form that is not understood.
    """
    reason = _REFUSED.get(op_key(node))
    if reason is not None:
        raise InputError(f"{path}: {describe_node(node)}: not supported, because {reason}")
    reader = READERS.get(op_key(node))
    return None if reader is None else reader(node, path)


def _onnx_attention(node: ir.Node, path: str) -> Site:
    return _site(node, path, (4, 5), "q_num_heads", "kv_num_heads")


def _group_query(node: ir.Node, path: str) -> Site:
    return _site(node, path, (3, 4), "num_heads", "kv_num_heads")


def _multi_head(node: ir.Node, path: str) -> Site:
    return _site(node, path, (6, 7), "num_heads", "num_heads")


READERS: dict[str, Callable[[ir.Node, str], Site]] = {
    "Attention": _onnx_attention,
    "com.microsoft::GroupQueryAttention": _group_query,
    "com.microsoft::MultiHeadAttention": _multi_head,
}


def _site(
    node: ir.Node, path: str, past_at: tuple[int, int], query_heads: str, kv_heads: str
) -> Site:
    query, key, value = (_input(node, at) for at in range(3))
    if query is None or key is None or value is None:
        raise InputError(
            f"{path}: {describe_node(node)}: expected separate queries, keys and values"
        )
    # Inputs `[1, rows, heads * width]` say nothing about their heads; with four axes they do.
    key_cache = _inner_cache(node, past_at[0], 1, key, path) or cache_behind(key)
    value_cache = _inner_cache(node, past_at[1], 2, value, path) or cache_behind(value)
    return Site(
        node.op_type,
        node,
        query,
        key if key_cache is None else key_cache.new,
        value if value_cache is None else value_cache.new,
        key_cache,
        value_cache,
        node.attributes.get_int(query_heads, 0),
        node.attributes.get_int(kv_heads, 0),
    )


def _input(node: ir.Node, at: int) -> ir.Value | None:
    return node.inputs[at] if at < len(node.inputs) else None


def _inner_cache(
    node: ir.Node, past_at: int, present_at: int, new: ir.Value, path: str
) -> Cache | None:
    """The cache that the operator itself appends to."""
    held = _input(node, past_at)
    if held is None:
        return None
    found = input_behind(held, 2)
    if found is None:
        raise InputError(
            f"{path}: {describe_node(node)}: expected its cache among the graph's inputs"
        )
    past, axis = found
    if present_at >= len(node.outputs):
        raise InputError(f"{path}: {describe_node(node)}: its cache has no output")
    # An extent that is fixed is a buffer with room, into which the operator writes.
    extent = past.shape[axis] if past.shape is not None else None
    buffered = isinstance(extent, int) and op_key(node) != "Attention"
    return Cache(past, axis, held, 2, new, -2, node.outputs[present_at], not buffered)
