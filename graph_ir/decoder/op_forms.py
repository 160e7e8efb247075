"""Spreads out what the attention operators of onnxruntime pack together.

`GroupQueryAttention` may split queries, keys and values out of one input and rotate them by
itself, `MultiHeadAttention` may add biases to them. Afterwards the operators attend and no more.
"""

import onnx_ir as ir

from graph_ir.decoder.emit import Emitter
from graph_ir.decoder.rotary import rotate_flat
from graph_ir.errors import InputError
from graph_ir.node_forms import describe_node
from graph_ir.onnx_values import op_key

_GROUP_QUERY = "com.microsoft::GroupQueryAttention"
_MULTI_HEAD = "com.microsoft::MultiHeadAttention"
_GQA_QUERY, _GQA_KEY, _GQA_PAST = 0, 1, 3
_GQA_COS, _GQA_SIN = 7, 8
_MHA_BIAS = 3


def check_operators(graph: ir.Graph, path: str) -> None:
    """Checks what no engine says clearly.

    Raises:
        InputError: query heads that cannot share the KV heads.
    """
    for node in graph:
        heads, kv_heads = _head_counts(node)
        if op_key(node) == _GROUP_QUERY and (heads < 1 or kv_heads < 1 or heads % kv_heads != 0):
            raise InputError(
                f"{path}: {describe_node(node)}: {heads} query heads cannot share {kv_heads} KV "
                "heads"
            )


def _head_counts(node: ir.Node) -> tuple[int, int]:
    return node.attributes.get_int("num_heads", 0), node.attributes.get_int("kv_num_heads", 0)


def packs_something(graph: ir.Graph) -> bool:
    """Whether `spread_operators` would change a graph."""
    return any(
        (op_key(node) == _GROUP_QUERY and _is_packed_group_query(node))
        or (op_key(node) == _MULTI_HEAD and _input(node, _MHA_BIAS) is not None)
        for node in graph
    )


def _is_packed_group_query(node: ir.Node) -> bool:
    return _input(node, _GQA_KEY) is None or bool(node.attributes.get_int("do_rotary", 0))


def spread_operators(graph: ir.Graph, positions: ir.Value, path: str) -> None:
    """Rewrites the operators of a graph in place.

    Args:
        graph: sorted; it stays so.
        positions: its input `[rows]`.
        path: for messages.

    Raises:
        InputError: a packed form whose parts cannot be told apart.
    """
    for node in graph:
        if op_key(node) == _GROUP_QUERY:
            _spread_group_query(graph, node, positions, path)
        elif op_key(node) == _MULTI_HEAD:
            _spread_multi_head(graph, node, path)


def _spread_group_query(graph: ir.Graph, node: ir.Node, positions: ir.Value, path: str) -> None:
    emitter = Emitter(graph, f"{node.name}.parts", node)
    where = f"{path}: {describe_node(node)}"
    heads, kv_heads = _head_counts(node)
    width = _cache_width(_input(node, _GQA_PAST))
    if _input(node, _GQA_KEY) is None:
        if not width:
            raise InputError(
                f"{where}: packed queries, keys and values, and no cache tells the width of a head"
            )
        sizes = [heads * width, kv_heads * width, kv_heads * width]
        packed = node.inputs[_GQA_QUERY]
        assert packed is not None, node
        parts = emitter.op(
            "Split", [packed, emitter.ints(sizes)], [ir.AttrInt64("axis", -1)], outputs=3
        )
        for at, part in enumerate(parts):
            node.replace_input_with(at, part)
    if not node.attributes.get_int("do_rotary", 0):
        return
    cos, sin = _input(node, _GQA_COS), _input(node, _GQA_SIN)
    if cos is None or sin is None or not width:
        raise InputError(f"{where}: it rotates, but without tables or a width of its heads")
    interleaved = bool(node.attributes.get_int("rotary_interleaved", 0))
    for at, count in ((_GQA_QUERY, heads), (_GQA_KEY, kv_heads)):
        value = node.inputs[at]
        assert value is not None, node
        rotated = rotate_flat(
            emitter, value, positions, (cos, sin), count, width, interleaved, where
        )
        node.replace_input_with(at, rotated)
    node.attributes["do_rotary"] = ir.AttrInt64("do_rotary", 0)
    node.replace_input_with(_GQA_COS, None)
    node.replace_input_with(_GQA_SIN, None)


def _spread_multi_head(graph: ir.Graph, node: ir.Node, path: str) -> None:
    bias = _input(node, _MHA_BIAS)
    if _input(node, 1) is None or _input(node, 2) is None:
        raise InputError(
            f"{path}: {describe_node(node)}: expected separate queries, keys and values"
        )
    if bias is None:
        return
    emitter = Emitter(graph, f"{node.name}.parts", node)
    tensor = ir.convenience.get_const_tensor(bias)
    if tensor is None or tensor.size % 3 != 0:
        raise InputError(
            f"{path}: {describe_node(node)}: expected a constant bias of queries, keys and values "
            "of one width"
        )
    parts = emitter.op(
        "Split",
        [bias, emitter.ints([tensor.size // 3] * 3)],
        [ir.AttrInt64("axis", 0)],
        outputs=3,
    )
    for at, part in enumerate(parts):
        node.replace_input_with(at, emitter.op("Add", [node.inputs[at], part])[0])
    node.replace_input_with(_MHA_BIAS, None)


def _input(node: ir.Node, at: int) -> ir.Value | None:
    return node.inputs[at] if at < len(node.inputs) else None


def _cache_width(past: ir.Value | None) -> int:
    """The width of a head as its cache `[1, heads, positions, width]` says it, else 0."""
    if past is None or past.shape is None or len(past.shape) != 4:
        return 0
    extent = past.shape[3]
    return extent if isinstance(extent, int) else 0
