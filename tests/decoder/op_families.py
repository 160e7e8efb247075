"""Small random decoders whose attention is one operator, as exporters of each kind write them."""

import numpy as np

from tests.decoder.building import INT64
from tests.decoder.families import LAYERS, WIDTH, Source

INT32 = 6


def _mlp_block(g, x, mixed, width=WIDTH):
    x = g.op("Add", x, g.linear(mixed, width, WIDTH))
    return g.op("Add", x, g.mlp(g.layer_norm(x)))


def group_query(seed=0, packed=True, rotary=True, interleaved=0, window=-1, softcap=0.0, sinks=0):
    """As onnxruntime's model builder writes it: lengths from the mask, rotation in the operator."""
    # The operator rotates multiples of 16 channels only.
    width = 32 if interleaved else 16
    g = Source(18, seed, kv_heads=2, head_width=width)
    g.input("attention_mask", ["batch", "total"], INT64)
    g.caches()
    total = g.op("ReduceSum", "attention_mask", g.ints(1), keepdims=0)
    last = g.op("Cast", g.op("Sub", total, g.scalar(1)), to=INT32)
    total_length = g.op("Cast", g.dim("attention_mask", 1), to=INT32)
    pairs = 8  # with `interleaved` half of a head
    angles = np.arange(400)[:, None] * 50.0 ** (-np.arange(pairs) / pairs)
    cos = g.const(np.cos(angles).astype(np.float32), "cos_cache")
    sin = g.const(np.sin(angles).astype(np.float32), "sin_cache")
    x = g.embed()
    for layer in range(LAYERS):
        normed = g.rms_norm(x)
        if packed:
            parts = [g.linear(normed, WIDTH, 8 * width), "", ""]
        else:
            parts = [g.linear(normed, WIDTH, wide) for wide in (4 * width, 2 * width, 2 * width)]
        pasts = [f"past_key_values.{layer}.{part}" for part in ("key", "value")]
        outs = [f"mixed.{layer}", *(name.replace("past_key_values", "present") for name in pasts)]
        tables = [cos, sin] if rotary else ["", ""]
        more = ["", "", g.vector(4, -1, 1)] if sinks else []
        mixed, _, _ = g.op(
            "GroupQueryAttention",
            *parts,
            *pasts,
            last,
            total_length,
            *tables,
            *more,
            out=outs,
            domain="com.microsoft",
            num_heads=4,
            kv_num_heads=2,
            do_rotary=int(rotary),
            rotary_interleaved=interleaved,
            local_window_size=window if layer == 0 else -1,
            softcap=softcap,
            scale=0.4,
        )
        x = _mlp_block(g, x, mixed, 4 * width)
    return g.finish(g.rms_norm(x))


def multi_head(seed=0):
    """MultiHeadAttention with biases and a causal bias of the scores; learned positions."""
    g = Source(18, seed)
    g.input("attention_mask", ["batch", "total"], INT64)
    g.input("position_ids", ["batch", "seq"], INT64)
    g.caches()
    table = g.const(g.random.standard_normal((256, WIDTH)).astype(np.float32), "wpe")
    x = g.op("Add", g.embed(), g.op("Gather", table, "position_ids", axis=0))
    mask = g.causal_mask(*g.counted())
    for layer in range(LAYERS):
        normed = g.layer_norm(x)
        parts = [g.linear(normed, WIDTH, WIDTH) for _ in range(3)]
        pasts = [f"past_key_values.{layer}.{part}" for part in ("key", "value")]
        outs = [f"mixed.{layer}", *(name.replace("past_key_values", "present") for name in pasts)]
        mixed, _, _ = g.op(
            "MultiHeadAttention",
            *parts,
            g.vector(3 * WIDTH, -1, 1),
            "",
            mask,
            *pasts,
            out=outs,
            domain="com.microsoft",
            num_heads=4,
        )
        x = _mlp_block(g, x, mixed)
    return g.finish(g.layer_norm(x))


def onnx_attention(seed=0, flat=False, inner=True, sliding=0):
    """Attention of opset 23, with its caches inside or appended to before it."""
    g = Source(23, seed, kv_heads=2)
    g.input("attention_mask", ["batch", "total"], INT64)
    g.input("position_ids", ["batch", "seq"], INT64)
    g.caches()
    mask = g.causal_mask(*g.counted(), window=sliding)
    angles = g.rope("position_ids")
    x = g.embed()
    for layer in range(LAYERS):
        normed = g.rms_norm(x)
        query = g.rotate(g.split_heads(g.linear(normed, WIDTH, 32), 4), angles)
        key = g.rotate(g.split_heads(g.linear(normed, WIDTH, 16), 2), angles)
        value = g.linear(normed, WIDTH, 16)
        if flat:
            query, key = g.merge_heads(query), _merged(g, key)
        else:
            value = g.split_heads(value, 2)
        pasts = [f"past_key_values.{layer}.{part}" for part in ("key", "value")]
        heads = {"q_num_heads": 4, "kv_num_heads": 2} if flat else {}
        if inner:
            outs = [f"mixed.{layer}", *(n.replace("past_key_values", "present") for n in pasts)]
            mixed, _, _ = g.op("Attention", query, key, value, mask, *pasts, out=outs, **heads)
        else:
            key, value = g.append(key, layer, "key"), g.append(value, layer, "value")
            mixed = g.op("Attention", query, key, value, mask, **heads)
        x = _mlp_block(g, x, mixed if flat else g.merge_heads(mixed))
    return g.finish(g.rms_norm(x))


def _merged(g, x):
    x = g.op("Transpose", x, perm=[0, 2, 1, 3])
    return g.op("Reshape", x, g.ints(0, 0, 16))


def tensor_scatter(seed=0, context="context"):
    """Attention of opset 24 over caches with room, written by TensorScatter."""
    g = Source(24, seed, kv_heads=2)
    g.input("position_ids", ["batch", "seq"], INT64)
    g.input("write_indices", ["batch"], INT64)
    g.input("nonpad_kv_seqlen", ["batch"], INT64)
    g.caches(length=context)
    room = g.dim("past_key_values.0.key", 2)
    slots = g.op("Range", g.scalar(0), room, g.scalar(1))
    column = g.op("Unsqueeze", "position_ids", g.ints(2))
    seen = g.op("LessOrEqual", slots, column)
    mask = g.op("Unsqueeze", seen, g.ints(1))
    angles = g.rope("position_ids")
    x = g.embed()
    for layer in range(LAYERS):
        normed = g.rms_norm(x)
        query = g.rotate(g.split_heads(g.linear(normed, WIDTH, 32), 4), angles)
        key = g.rotate(g.split_heads(g.linear(normed, WIDTH, 16), 2), angles)
        value = g.split_heads(g.linear(normed, WIDTH, 16), 2)
        states = []
        for part, new in (("key", key), ("value", value)):
            past = f"past_key_values.{layer}.{part}"
            out = f"present.{layer}.{part}"
            states.append(g.op("TensorScatter", past, new, "write_indices", out=out, axis=2))
        mixed = g.op("Attention", query, *states, mask)
        x = _mlp_block(g, x, g.merge_heads(mixed))
    return g.finish(g.rms_norm(x), length=context)


OPERATORS = {
    "gqa-packed-rotary": group_query,
    "gqa-interleaved-part": lambda seed=0: group_query(seed, packed=False, interleaved=1),
    "gqa-window-softcap": lambda seed=0: group_query(
        seed, packed=False, rotary=False, window=30, softcap=3.0
    ),
    "gqa-sinks": lambda seed=0: group_query(seed, sinks=1),
    "mha": multi_head,
    "attention-23": onnx_attention,
    "attention-23-flat": lambda seed=0: onnx_attention(seed, flat=True, sliding=17),
    "attention-23-appended": lambda seed=0: onnx_attention(seed, inner=False),
    "attention-24-scatter": tensor_scatter,
}
