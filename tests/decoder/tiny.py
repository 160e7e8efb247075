"""Small random decoders in normal form."""

import hashlib

import numpy as np
import onnx_ir as ir
from onnx import helper

from graph_ir.decoder.attention_function import carry_functions, overload_of
from graph_ir.decoder.decoder import (
    ATTENTION,
    DOMAIN,
    LOGITS,
    POSITIONS,
    ROWS,
    TOKENS,
    Attention,
    Decoder,
)
from tests.decoder.building import FLOAT, INT64, Builder


def alibi_slopes(heads):
    """Slopes as BLOOM has them for a power of two."""
    return tuple(float(np.float32(2.0 ** (-8.0 * (h + 1) / heads))) for h in range(heads))


def tiny_decoder(
    layers=2,
    query_heads=4,
    kv_heads=2,
    head_width=8,
    value_width=None,
    vocabulary=48,
    windows=(),
    slopes=(),
    sinks=False,
    softcap=0.0,
    rope=True,
    most_positions=0,
    seed=0,
):
    """A decoder of the Llama family with random weights.

    Args:
        layers: number of attentions.
        query_heads: of every layer.
        kv_heads: divides `query_heads`.
        head_width: of queries and keys, even where `rope` is on.
        value_width: of values; that of keys where it is None.
        vocabulary: number of tokens.
        windows: sliding window of each layer, 0 for none; repeated where there are more layers.
        slopes: ALiBi slopes of the query heads; see `alibi_slopes`.
        sinks: whether every attention has learned sinks.
        softcap: of the scaled products, 0 for none.
        rope: whether queries and keys are rotated (halves, base 100).
        most_positions: as the decoder says it; nothing in the graph depends on it.
        seed: of the weights.
    """
    random = np.random.default_rng(seed)
    values = head_width if value_width is None else value_width
    width = 4 * head_width
    graph = Builder(18)

    def weight(name, *shape):
        array = random.standard_normal(shape) / np.sqrt(shape[0])
        return graph.const(array.astype(np.float32), name)

    def norm(x, at):
        square = graph.op("Mul", x, x)
        mean = graph.op("ReduceMean", square, graph.ints(-1), keepdims=1)
        root = graph.op("Sqrt", graph.op("Add", mean, graph.real(1e-5)))
        gain = graph.const(random.uniform(0.5, 1.5, width).astype(np.float32), f"{at}.gain")
        return graph.op("Mul", graph.op("Div", x, root), gain)

    def heads(x, at, count, wide):
        x = graph.op("MatMul", x, weight(f"{at}.weight", width, count * wide))
        x = graph.op("Reshape", x, graph.ints(0, 0, count, wide))
        return graph.op("Transpose", x, perm=[0, 2, 1, 3])

    def rotate(x):
        first, second = graph.op("Split", x, outputs=2, axis=-1, num_outputs=2)
        turned = graph.op("Concat", graph.op("Neg", second), first, axis=-1)
        return graph.op("Add", graph.op("Mul", x, cos), graph.op("Mul", turned, sin))

    graph.input(TOKENS, [1, ROWS], INT64)
    graph.input(POSITIONS, [ROWS], INT64)
    if rope:
        frequencies = 100.0 ** (-np.arange(0, head_width, 2) / head_width)
        column = graph.op("Cast", POSITIONS, to=FLOAT)
        column = graph.op("Unsqueeze", column, graph.ints(1))
        both = np.concatenate([frequencies, frequencies]).astype(np.float32)
        angles = graph.op("Mul", column, graph.const(both, "frequencies"))
        cos, sin = graph.op("Cos", angles), graph.op("Sin", angles)
    table = random.standard_normal((vocabulary, width)).astype(np.float32)
    x = graph.op("Gather", graph.const(table, "embedding"), TOKENS, axis=0)
    found = []
    for layer in range(layers):
        attention = Attention(
            node=f"layers.{layer}.attention",
            query_heads=query_heads,
            kv_heads=kv_heads,
            head_width=head_width,
            value_width=values,
            scale=float(np.float32(head_width**-0.5)),
            softcap=softcap,
            window=windows[layer % len(windows)] if windows else 0,
            slopes=tuple(slopes),
            sinks=sinks,
            form="tiny",
        )
        found.append(attention)
        at = f"layers.{layer}"
        normed = norm(x, f"{at}.norm")
        # Queries twice as long, so that attention has something to choose.
        query = heads(graph.op("Mul", normed, graph.real(2.0)), f"{at}.q", query_heads, head_width)
        key = heads(normed, f"{at}.k", kv_heads, head_width)
        value = heads(normed, f"{at}.v", kv_heads, values)
        if rope:
            query, key = rotate(query), rotate(key)
        inputs = [query, key, value]
        if sinks:
            learned = random.standard_normal(query_heads).astype(np.float32)
            inputs.append(graph.const(learned, f"{at}.sinks"))
        graph.nodes.append(_node(attention, layer, inputs))
        mixed = graph.op("Transpose", graph.nodes[-1].output[0], perm=[0, 2, 1, 3])
        mixed = graph.op("Reshape", mixed, graph.ints(0, 0, query_heads * values))
        mixed = graph.op("MatMul", mixed, weight(f"{at}.o.weight", query_heads * values, width))
        x = graph.op("Add", x, mixed)
        hidden = graph.op("MatMul", norm(x, f"{at}.mlp"), weight(f"{at}.up", width, 2 * width))
        down = weight(f"{at}.down", 2 * width, width)
        x = graph.op("Add", x, graph.op("MatMul", graph.op("Relu", hidden), down))
    head = weight("head", width, vocabulary)
    graph.op("MatMul", norm(x, "norm"), head, out=LOGITS)
    graph.output(LOGITS, [1, ROWS, vocabulary])
    model = ir.serde.deserialize_model(graph.model())
    carry_functions(model)
    digest = hashlib.sha256(ir.serde.serialize_model(model).SerializeToString()).hexdigest()
    return Decoder(model, tuple(found), vocabulary, most_positions, "tiny", digest)


def _node(attention, layer, inputs):
    node = helper.make_node(
        ATTENTION,
        inputs,
        [f"{attention.node}.out"],
        attention.node,
        domain=DOMAIN,
        layer=layer,
        scale=attention.scale,
        softcap=attention.softcap,
        window=attention.window,
    )
    slopes = node.attribute.add(name="slopes", type=6)
    slopes.floats.extend(attention.slopes)
    node.overload = overload_of(attention)
    return node
