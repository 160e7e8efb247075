"""How far a head with ALiBi can see, from its weights alone (RazorAttention, section 3.1).

A query at p sees a key at t with `slope * (t - p)` added to their scaled product. Both are made
by linear maps `A` of the same normalised token, whose length with a 1 appended (for the biases) is
at most sqrt(n + 1) for n channels, so that no scaled product is larger than

    M = scale * |Aq^T Ak|_2 * (n + 1)

A key at distance d weighs at most exp(2 M - slope * d) times the query's own one, which is below
epsilon from `d = (2 M - log epsilon) / slope` on. The scales and shifts of the norm are in A.

Shape suffixes: N channels of the norm, R its rows, N + 1 of them: one for each channel, then zeros;
H query heads, K KV heads, D head width.
"""

import math

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from egrl.kv.walk import Segment, attention_nodes, run_segment
from graph_ir.compression.method import Array, Runner
from graph_ir.decoder.decoder import POSITIONS, TOKENS, Decoder
from graph_ir.errors import InputError
from graph_ir.node_forms import describe_node
from graph_ir.onnx_values import op_key, value_name

EPSILON = 1e-5
"""Weight that may be left out, beside the query's own (as published implementations have it)."""

_NORMS = ("LayerNormalization", "RMSNormalization", "SimplifiedLayerNormalization")
_FIRST_INPUT = ("Reshape", "Transpose", "Split", "Slice", "Gather", "Squeeze", "Unsqueeze",
                "Identity", "Cast")  # fmt: skip
_ONE_INPUT = ("MatMul", "Gemm", "Add", "Mul")


def alibi_window(slope: float, product: float, epsilon: float = EPSILON) -> int:
    """Positions beyond which every weight is below epsilon times the query's own.

    Args:
        slope: of the head, positive.
        product: the largest that a scaled product of its queries and keys can be.
        epsilon: weight that may be left out.
    """
    return max(1, math.ceil((2.0 * product - math.log(epsilon)) / slope))


def product_bounds(decoder: Decoder, runner: Runner) -> tuple[tuple[float, ...], ...]:
    """For each attention with ALiBi the largest scaled product of each query head; else nothing.

    Raises:
        InputError: the queries and keys of one are no linear maps of one normalised value.
    """
    bounds: list[tuple[float, ...]] = []
    for index, node in enumerate(attention_nodes(decoder)):
        if decoder.layers[index].slopes:
            bounds.append(_bounds(decoder, runner, index, node))
        else:
            bounds.append(())
    return tuple(bounds)


def _bounds(decoder: Decoder, runner: Runner, index: int, node: ir.Node) -> tuple[float, ...]:
    attention = decoder.layers[index]
    query, key = node.inputs[0], node.inputs[1]
    assert query is not None
    assert key is not None
    base, channels = _source(query, decoder)
    other, _ = _source(key, decoder)
    if other is not base:
        raise InputError(
            f"{decoder.source_path}: {describe_node(node)}: expected queries and keys of one "
            "normalised value, got two"
        )
    rows = channels + 1
    given: dict[str, Array] = {
        TOKENS: np.zeros((1, rows), np.int64),
        POSITIONS: np.arange(rows),
        value_name(base): np.eye(rows, channels, dtype=np.float32)[None],
    }
    segment = Segment((*decoder.model.graph.inputs, base), (query, key))
    made = run_segment(decoder.model, runner, segment, given)
    query_HRD = made[value_name(query)][0].astype(np.float64)
    key_KRD = made[value_name(key)][0].astype(np.float64)
    scale_N, shift_N = _norm(base, channels)
    group = attention.query_heads // attention.kv_heads
    return tuple(
        attention.scale
        * float(np.linalg.norm(_map(query_RD, scale_N, shift_N).T @ key_map, 2))
        * (channels + 1)
        for head, query_RD in enumerate(query_HRD)
        for key_map in (_map(key_KRD[head // group], scale_N, shift_N),)
    )


def _map(rows_RD: NDArray[np.float64], scale_N: NDArray[np.float64],
         shift_N: NDArray[np.float64]) -> NDArray[np.float64]:  # fmt: skip
    """The map [D, N + 1] from normalised channels and a 1, out of what it does to a basis."""
    bias_D = rows_RD[-1]
    weight_ND = rows_RD[:-1] - bias_D
    whole: NDArray[np.float64] = np.concatenate(
        [weight_ND * scale_N[:, None], (shift_N @ weight_ND + bias_D)[None]]
    ).T
    return whole


def _source(value: ir.Value, decoder: Decoder) -> tuple[ir.Value, int]:
    """The normalised value that a linear map starts from, and its channels."""
    channels = 0
    while (node := value.producer()) is not None:
        if node.op_type in _NORMS or _divides(node):
            break
        if node.op_type in _FIRST_INPUT:
            data = node.inputs[0]
        elif node.op_type in _ONE_INPUT:
            varying = [v for v in node.inputs if v is not None and v.const_value is None]
            data = varying[0] if len(varying) == 1 else None
            if node.op_type in ("MatMul", "Gemm") and data is not None:
                channels = _inner(node)
        else:
            data = None
        if data is None:
            break
        value = data
    if node is None or not channels or not (node.op_type in _NORMS or _divides(node)):
        where = value_name(value) if node is None else describe_node(node)
        raise InputError(
            f"{decoder.source_path}: {where}: expected a norm before the queries and keys of an "
            "attention with ALiBi"
        )
    return value, channels


def _divides(node: ir.Node) -> bool:
    """Whether it is the last step of a norm written out: x / root or x * (1 / root)."""
    varying = [v for v in node.inputs if v is not None and v.const_value is None]
    return node.op_type in ("Div", "Mul") and len(varying) == 2


def _inner(node: ir.Node) -> int:
    """Extent over which a product with a constant matrix sums."""
    matrix = node.inputs[1]
    if matrix is None or matrix.const_value is None:
        return 0
    shape = matrix.const_value.shape.numpy()
    transposed = op_key(node) == "Gemm" and node.attributes.get_int("transB", 0) == 1
    return int(shape[-1] if transposed else shape[-2])


def _norm(base: ir.Value, channels: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Scale and shift of a norm that is one node; ones and zeros of one that is written out."""
    node = base.producer()
    scale, shift = np.ones(channels), np.zeros(channels)
    if node is not None and node.op_type in _NORMS:
        for at, known in ((1, scale), (2, shift)):
            given = node.inputs[at] if len(node.inputs) > at else None
            if given is not None and given.const_value is not None:
                known[:] = given.const_value.numpy()
    return scale, shift
