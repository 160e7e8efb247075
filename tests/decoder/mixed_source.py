"""A decoder with any mixture of what attentions have, written as eager PyTorch modules are."""

import numpy as np

from tests.decoder.building import FLOAT
from tests.decoder.families import WIDTH, Source


def mixed_source(
    heads=4,
    kv_heads=2,
    head_width=8,
    scale=0.3,
    softcap=0.0,
    window=0,
    slopes=None,
    sinks=None,
    cached=True,
    present=True,
    seed=0,
):
    """One layer with the given numbers.

    Args:
        heads: query heads.
        kv_heads: divides them.
        head_width: of all heads.
        scale: of the products.
        softcap: 0 for none.
        window: 0 for none.
        slopes: of ALiBi, one per query head, or None.
        sinks: logits of learned sinks, or None.
        cached: whether there are caches; otherwise all positions are rows of the call.
        present: whether keys and values are outputs.
        seed: of the weights.
    """
    g = Source(18, seed, heads, kv_heads, head_width)
    if cached:
        g.caches(layers=1)
        rows, total = g.counted()
    else:
        total = g.dim("input_ids", 1)
        rows = g.op("Range", g.scalar(0), total, g.scalar(1))
    mask = g.causal_mask(rows, total, window=window, padding=False)
    angles = g.rope(g.op("Unsqueeze", rows, g.ints(0)))
    x = g.embed()
    normed = g.rms_norm(x)
    query = g.rotate(g.split_heads(g.linear(normed, WIDTH, heads * head_width), heads), angles)
    wide = kv_heads * head_width
    key = g.rotate(g.split_heads(g.linear(normed, WIDTH, wide), kv_heads), angles)
    value = g.split_heads(g.linear(normed, WIDTH, wide), kv_heads)
    if cached:
        key, value = g.append(key, 0, "key"), g.append(value, 0, "value")
    elif present:
        key = g.op("Identity", key, out="present.0.key")
        value = g.op("Identity", value, out="present.0.value")
    scores = g.op("MatMul", query, g.op("Transpose", g.repeat_kv(key), perm=[0, 1, 3, 2]))
    scores = g.op("Div", scores, g.real(1.0 / scale))
    if softcap:
        bent = g.op("Tanh", g.op("Div", scores, g.real(softcap)))
        scores = g.op("Mul", bent, g.real(softcap))
    if slopes is not None:
        places = g.op("Range", g.scalar(0), total, g.scalar(1))
        if sinks is not None:  # beside a sink only the distance will do
            places = g.op("Sub", places, g.op("Unsqueeze", rows, g.ints(1)))
        columns = g.op("Cast", places, to=FLOAT)
        column = g.const(np.array(slopes, np.float32).reshape(1, -1, 1, 1))
        scores = g.op("Add", scores, g.op("Mul", column, columns))
    scores = g.op("Add", scores, mask)
    if sinks is not None:
        one = g.ints(1)
        shape = g.op("Concat", g.extent(query, 0), one, g.extent(query, 2), one, axis=0)
        column = g.const(np.array(sinks, np.float32).reshape(1, -1, 1, 1))
        scores = g.op("Concat", scores, g.op("Expand", column, shape), axis=-1)
    weights = g.op("Softmax", scores, axis=-1)
    if sinks is not None:
        weights = g.op("Slice", weights, g.ints(0), g.ints(-1), g.ints(-1))
    mixed = g.op("MatMul", weights, g.repeat_kv(value))
    x = g.op("Add", x, g.linear(g.merge_heads(mixed), heads * head_width, WIDTH))
    return g.finish(g.rms_norm(x), layers=int(cached or present))
