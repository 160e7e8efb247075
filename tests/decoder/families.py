"""Small random decoders with caches, each as some exporter writes its family."""

import numpy as np

from tests.decoder.building import FLOAT, INT64, Builder
from tests.decoder.tiny import alibi_slopes

VOCABULARY, WIDTH, LAYERS = 40, 32, 2
LOWEST = float(np.finfo(np.float32).min)


class Source(Builder):
    """What all families share."""

    def __init__(self, opset=18, seed=0, heads=4, kv_heads=4, head_width=8):
        super().__init__(opset)
        self.random = np.random.default_rng(seed)
        self.heads, self.kv_heads, self.head_width = heads, kv_heads, head_width
        self.group = heads // kv_heads
        self.input("input_ids", ["batch", "seq"], INT64)

    def weight(self, *shape, name=None):
        array = self.random.standard_normal(shape) / np.sqrt(shape[0])
        return self.const(array.astype(np.float32), name)

    def vector(self, size, low=0.5, high=1.5):
        return self.const(self.random.uniform(low, high, size).astype(np.float32))

    def linear(self, x, rows, columns, bias=False):
        x = self.op("MatMul", x, self.weight(rows, columns))
        return self.op("Add", x, self.vector(columns, -1, 1)) if bias else x

    def embed(self):
        table = self.random.standard_normal((VOCABULARY, WIDTH)).astype(np.float32)
        return self.op("Gather", self.const(table, "wte"), "input_ids", axis=0)

    def rms_norm(self, x, width=WIDTH):
        mean = self.op("ReduceMean", self.op("Pow", x, self.real(2.0)), self.ints(-1), keepdims=1)
        root = self.op("Sqrt", self.op("Add", mean, self.real(1e-5)))
        scaled = self.op("Mul", x, self.op("Reciprocal", root))
        return self.op("Mul", self.vector(width), scaled)

    def layer_norm(self, x):
        inputs = (x, self.vector(WIDTH), self.vector(WIDTH, -0.5, 0.5))
        return self.op("LayerNormalization", *inputs, axis=-1, epsilon=1e-5)

    def mlp(self, x):
        hidden = self.op("Relu", self.linear(x, WIDTH, 2 * WIDTH, bias=True))
        return self.linear(hidden, 2 * WIDTH, WIDTH)

    def extent(self, x, axis):
        """An extent as a vector of one, as exporters write it: Shape, Gather, Unsqueeze."""
        return self.op("Unsqueeze", self.dim(x, axis), self.ints(0))

    def split_heads(self, x, heads, width=None):
        width = width or self.head_width
        batch, rows = self.extent(x, 0), self.extent(x, 1)
        shape = self.op("Concat", batch, rows, self.ints(heads), self.ints(width), axis=0)
        return self.op("Transpose", self.op("Reshape", x, shape), perm=[0, 2, 1, 3])

    def merge_heads(self, x, width=None):
        x = self.op("Transpose", x, perm=[0, 2, 1, 3])
        batch, rows = self.extent(x, 0), self.extent(x, 1)
        wide = self.ints(self.heads * (width or self.head_width))
        return self.op("Reshape", x, self.op("Concat", batch, rows, wide, axis=0))

    def caches(self, dims=None, layers=LAYERS, length="past"):
        dims = dims or [self.kv_heads, length, self.head_width]
        for layer in range(layers):
            for part in ("key", "value"):
                self.input(f"past_key_values.{layer}.{part}", ["batch", *dims])

    def append(self, new, layer, part, axis=2):
        past = f"past_key_values.{layer}.{part}"
        return self.op("Concat", past, new, axis=axis, out=f"present.{layer}.{part}")

    def finish(self, x, dims=None, layers=LAYERS, length="total"):
        self.op("MatMul", x, self.weight(WIDTH, VOCABULARY), out="logits")
        return self.declare(dims, layers, length)

    def declare(self, dims=None, layers=LAYERS, length="total"):
        self.output("logits", ["batch", "seq", VOCABULARY])
        dims = dims or [self.kv_heads, length, self.head_width]
        for layer in range(layers):
            for part in ("key", "value"):
                self.output(f"present.{layer}.{part}", ["batch", *dims])
        return self

    def rope(self, positions, base=100.0):
        """Cosine and sine [batch, rows, width] of positions [batch, rows], as Llama's module."""
        half = base ** (-np.arange(0, self.head_width, 2) / self.head_width)
        frequencies = self.const(half.astype(np.float32)[None, :, None])
        row = self.op("Cast", self.op("Unsqueeze", positions, self.ints(1)), to=FLOAT)
        angles = self.op("Transpose", self.op("MatMul", frequencies, row), perm=[0, 2, 1])
        angles = self.op("Concat", angles, angles, axis=-1)
        return self.op("Cos", angles), self.op("Sin", angles)

    def rotate(self, x, cos_sin):
        cos, sin = (self.op("Unsqueeze", part, self.ints(1)) for part in cos_sin)
        half = self.op("Div", self.dim(x, 3), self.scalar(2))
        half = self.op("Unsqueeze", half, self.ints(0))
        first = self.op("Slice", x, self.ints(0), half, self.ints(-1), self.ints(1))
        end = self.ints(np.iinfo(np.int64).max)
        second = self.op("Slice", x, half, end, self.ints(-1), self.ints(1))
        turned = self.op("Concat", self.op("Neg", second), first, axis=-1)
        return self.op("Add", self.op("Mul", x, cos), self.op("Mul", turned, sin))

    def repeat_kv(self, x):
        """`repeat_interleave` of heads as Llama's modules export it."""
        if self.group == 1:
            return x
        shape = [self.extent(x, at) for at in range(4)]
        wide = self.op("Unsqueeze", x, self.ints(2))
        expanded = self.op("Concat", *shape[:2], self.ints(self.group), *shape[2:], axis=0)
        wide = self.op("Expand", wide, expanded)
        merged = self.op("Concat", shape[0], self.ints(self.heads), *shape[2:], axis=0)
        return self.op("Reshape", wide, merged)

    def counted(self):
        """`cache_position` [rows] from the extents of cache and tokens; also the total."""
        past = self.dim("past_key_values.0.key", 2)
        total = self.op("Add", past, self.dim("input_ids", 1))
        return self.op("Range", past, total, self.scalar(1)), total

    def causal_mask(self, cache_position, total, window=0, padding=True):
        """[batch, 1, rows, total] to add, as transformers makes it."""
        columns = self.op("Range", self.scalar(0), total, self.scalar(1))
        column = self.op("Unsqueeze", cache_position, self.ints(1))
        hidden = self.op("Greater", columns, column)
        if window:
            far = self.op("Sub", column, self.scalar(window))
            hidden = self.op("Or", hidden, self.op("LessOrEqual", columns, far))
        mask = self.op("Where", hidden, self.real(LOWEST), self.real(0.0))
        mask = self.op("Unsqueeze", mask, self.ints(0, 1))
        if not padding:
            return mask
        padded = self.op("Unsqueeze", "attention_mask", self.ints(1, 2))
        empty = self.op("Equal", self.op("Cast", padded, to=FLOAT), self.real(0.0))
        return self.op("Where", empty, self.real(LOWEST), mask)

    def attend(self, query, key, value, mask, scale=None, softcap=0.0):
        """Decomposed as eager attention: scaled scores, mask, softmax, product."""
        turned = self.op("Transpose", key, perm=[0, 1, 3, 2])
        scores = self.op("MatMul", query, turned)
        scores = self.op("Mul", scores, self.real(scale or self.head_width**-0.5))
        if softcap:
            bent = self.op("Tanh", self.op("Div", scores, self.real(softcap)))
            scores = self.op("Mul", bent, self.real(softcap))
        weights = self.op("Softmax", self.op("Add", scores, mask), axis=-1)
        return self.op("MatMul", weights, value)


def gpt2(seed=0):
    """Learned positions counted from the cache, fused Gemm and Split, a table of the mask."""
    g = Source(17, seed)
    g.caches()
    cache_position, total = g.counted()
    positions = g.op("Unsqueeze", cache_position, g.ints(0))
    table = g.const(g.random.standard_normal((300, WIDTH)).astype(np.float32), "wpe")
    x = g.op("Add", g.embed(), g.op("Gather", table, positions, axis=0))
    g.const(np.tril(np.ones((300, 300), bool))[None, None], "bias")
    for layer in range(LAYERS):
        normed = g.layer_norm(x)
        flat = g.op("Reshape", normed, g.ints(-1, WIDTH))
        fused = g.op("Gemm", flat, g.weight(WIDTH, 3 * WIDTH), g.vector(3 * WIDTH, -1, 1))
        shape = g.op("Concat", g.extent(normed, 0), g.extent(normed, 1), g.ints(-1), axis=0)
        fused = g.op("Reshape", fused, shape)
        parts = g.op("Split", fused, g.ints(WIDTH, WIDTH, WIDTH), outputs=3, axis=2)
        query, key, value = (g.split_heads(part, 4) for part in parts)
        key, value = g.append(key, layer, "key"), g.append(value, layer, "value")
        scores = g.op("MatMul", query, g.op("Transpose", key, perm=[0, 1, 3, 2]))
        scores = g.op("Div", scores, g.real(g.head_width**0.5))
        last = g.op("Unsqueeze", total, g.ints(0))
        first = g.op("Sub", g.extent(key, -2), g.extent(query, -2))
        rows = g.op("Slice", "bias", first, g.extent(key, -2), g.ints(2))
        seen = g.op("Slice", rows, g.ints(0), last, g.ints(3))
        scores = g.op("Where", seen, scores, g.real(LOWEST))
        mixed = g.merge_heads(g.op("MatMul", g.op("Softmax", scores, axis=-1), value))
        x = g.op("Add", x, g.linear(mixed, WIDTH, WIDTH, bias=True))
        x = g.op("Add", x, g.mlp(g.layer_norm(x)))
    return g.finish(g.layer_norm(x))


def qwen2(seed=0, kv_heads=2):
    """Biases, grouped heads by Expand and Reshape, positions given."""
    g = Source(17, seed, kv_heads=kv_heads)
    g.input("attention_mask", ["batch", "total"], INT64)
    g.input("position_ids", ["batch", "seq"], INT64)
    g.caches()
    mask = g.causal_mask(*g.counted())
    angles = g.rope("position_ids")
    x = g.embed()
    for layer in range(LAYERS):
        normed = g.rms_norm(x) if g.opset >= 18 else g.layer_norm(x)
        query = g.rotate(g.split_heads(g.linear(normed, WIDTH, WIDTH, bias=True), 4), angles)
        wide = g.kv_heads * g.head_width
        key = g.rotate(g.split_heads(g.linear(normed, WIDTH, wide, bias=True), kv_heads), angles)
        value = g.split_heads(g.linear(normed, WIDTH, wide, bias=True), kv_heads)
        key, value = g.append(key, layer, "key"), g.append(value, layer, "value")
        mixed = g.attend(query, g.repeat_kv(key), g.repeat_kv(value), mask)
        x = g.op("Add", x, g.linear(g.merge_heads(mixed), WIDTH, WIDTH))
        x = g.op("Add", x, g.mlp(g.layer_norm(x)))
    return g.finish(g.layer_norm(x))


def multi_query(seed=0):
    """One head of keys and values, broadcast; no mask but the causal one."""
    return qwen2(seed, kv_heads=1)


def qwen3(seed=0):
    """Normalised queries and keys of another width than the heads' share of the model's, and
    positions summed up from the mask, as for padded batches."""
    g = Source(18, seed, kv_heads=2, head_width=12)
    g.input("attention_mask", ["batch", "total"], INT64)
    g.caches()
    running = g.op("Sub", g.op("CumSum", "attention_mask", g.scalar(1)), g.scalar(1))
    padded = g.op("Equal", "attention_mask", g.scalar(0))
    running = g.op("Where", padded, g.scalar(1), running)
    start = g.op("Neg", g.extent("input_ids", 1))
    positions = g.op("Slice", running, start, g.ints(np.iinfo(np.int64).max), g.ints(1))
    mask = g.causal_mask(*g.counted())
    angles = g.rope(positions)
    x = g.embed()
    for layer in range(LAYERS):
        normed = g.rms_norm(x)
        query = g.split_heads(g.linear(normed, WIDTH, 48), 4)
        key = g.split_heads(g.linear(normed, WIDTH, 24), 2)
        value = g.split_heads(g.linear(normed, WIDTH, 24), 2)
        query, key = g.rotate(g.rms_norm(query, 12), angles), g.rotate(g.rms_norm(key, 12), angles)
        key, value = g.append(key, layer, "key"), g.append(value, layer, "value")
        mixed = g.attend(query, g.repeat_kv(key), g.repeat_kv(value), mask)
        x = g.op("Add", x, g.linear(g.merge_heads(mixed), 48, WIDTH))
        x = g.op("Add", x, g.mlp(g.rms_norm(x)))
    return g.finish(g.rms_norm(x))


def bloom(seed=0):
    """ALiBi from the running sum of the mask, fused heads [head, 3, width], keys stored turned."""
    g = Source(18, seed)
    g.input("attention_mask", ["batch", "total"], INT64)
    for layer in range(LAYERS):
        g.input(f"past_key_values.{layer}.key", ["batch", 4, 8, "past"])
        g.input(f"past_key_values.{layer}.value", ["batch", 4, "past", 8])
    slopes = g.const(np.array(alibi_slopes(4), np.float32)[:, None], "slopes")
    running = g.op("Sub", g.op("CumSum", "attention_mask", g.scalar(-1)), g.scalar(1))
    places = g.op("Cast", g.op("Mul", running, "attention_mask"), to=FLOAT)
    alibi = g.op("Mul", slopes, g.op("Unsqueeze", places, g.ints(1)))
    alibi = g.op("Unsqueeze", alibi, g.ints(2))
    past = g.dim("past_key_values.0.key", 3)
    total = g.op("Add", past, g.dim("input_ids", 1))
    mask = g.causal_mask(g.op("Range", past, total, g.scalar(1)), total)
    x = g.layer_norm(g.embed())
    for layer in range(LAYERS):
        fused = g.linear(g.layer_norm(x), WIDTH, 3 * WIDTH, bias=True)
        shape = g.op("Concat", g.extent(x, 0), g.extent(x, 1), g.ints(4, 3, 8), axis=0)
        fused = g.op("Reshape", fused, shape)
        query, key, value = (g.op("Gather", fused, g.scalar(part), axis=3) for part in range(3))
        query = g.op("Transpose", query, perm=[0, 2, 1, 3])
        key = g.op("Transpose", key, perm=[0, 2, 3, 1])
        value = g.op("Transpose", value, perm=[0, 2, 1, 3])
        key, value = g.append(key, layer, "key", axis=3), g.append(value, layer, "value")
        scores = g.op("Mul", g.op("MatMul", query, key), g.real(8**-0.5))
        weights = g.op("Softmax", g.op("Add", g.op("Add", scores, alibi), mask), axis=-1)
        mixed = g.merge_heads(g.op("MatMul", weights, value))
        x = g.op("Add", x, g.linear(mixed, WIDTH, WIDTH, bias=True))
        x = g.op("Add", x, g.mlp(g.layer_norm(x)))
    g.op("MatMul", g.layer_norm(x), g.weight(WIDTH, VOCABULARY), out="logits")
    g.output("logits", ["batch", "seq", VOCABULARY])
    for layer in range(LAYERS):
        g.output(f"present.{layer}.key", ["batch", 4, 8, "total"])
        g.output(f"present.{layer}.value", ["batch", 4, "total", 8])
    return g


def gemma(seed=0, window=20):
    """Sliding and global layers by turns, each with its own rotation, soft caps, 4 layers."""
    g = Source(18, seed, kv_heads=2)
    g.input("attention_mask", ["batch", "total"], INT64)
    g.input("position_ids", ["batch", "seq"], INT64)
    g.caches(layers=4)
    counted = g.counted()
    masks = [g.causal_mask(*counted, window=window), g.causal_mask(*counted)]
    angles = [g.rope("position_ids", 50.0), g.rope("position_ids", 1000.0)]
    x = g.op("Mul", g.embed(), g.real(1.7))
    for layer in range(4):
        normed, kind = g.rms_norm(x), layer % 2
        query = g.rotate(g.split_heads(g.linear(normed, WIDTH, 32), 4), angles[kind])
        key = g.rotate(g.split_heads(g.linear(normed, WIDTH, 16), 2), angles[kind])
        value = g.split_heads(g.linear(normed, WIDTH, 16), 2)
        key, value = g.append(key, layer, "key"), g.append(value, layer, "value")
        mask = masks[kind]
        mixed = g.attend(query, g.repeat_kv(key), g.repeat_kv(value), mask, 0.3, softcap=5.0)
        x = g.op("Add", x, g.rms_norm(g.linear(g.merge_heads(mixed), 32, WIDTH)))
        x = g.op("Add", x, g.mlp(g.rms_norm(x)))
    raw = g.op("MatMul", g.rms_norm(x), g.weight(WIDTH, VOCABULARY))
    bent = g.op("Tanh", g.op("Div", raw, g.real(4.0)))
    g.op("Mul", bent, g.real(4.0), out="logits")
    return g.declare(layers=4)


def gpt_oss(seed=0, window=9):
    """Learned sinks as a column of logits dropped after the softmax, sliding layers by turns."""
    g = Source(18, seed, kv_heads=2)
    g.input("attention_mask", ["batch", "total"], INT64)
    g.input("position_ids", ["batch", "seq"], INT64)
    g.caches()
    counted = g.counted()
    masks = [g.causal_mask(*counted, window=window), g.causal_mask(*counted)]
    angles = g.rope("position_ids")
    x = g.embed()
    for layer in range(LAYERS):
        normed = g.rms_norm(x)
        query = g.rotate(g.split_heads(g.linear(normed, WIDTH, 32, bias=True), 4), angles)
        key = g.rotate(g.split_heads(g.linear(normed, WIDTH, 16, bias=True), 2), angles)
        value = g.split_heads(g.linear(normed, WIDTH, 16, bias=True), 2)
        key, value = g.append(key, layer, "key"), g.append(value, layer, "value")
        turned = g.op("Transpose", g.repeat_kv(key), perm=[0, 1, 3, 2])
        scores = g.op("Mul", g.op("MatMul", query, turned), g.real(8**-0.5))
        scores = g.op("Add", scores, masks[layer % 2])
        sinks = g.const(g.random.standard_normal(4).astype(np.float32), f"sinks.{layer}")
        column = g.op("Reshape", sinks, g.ints(1, -1, 1, 1))
        one = g.ints(1)
        shape = g.op("Concat", g.extent(query, 0), one, g.extent(query, 2), one, axis=0)
        both = g.op("Concat", scores, g.op("Expand", column, shape), axis=-1)
        top = g.op("ReduceMax", both, g.ints(-1), keepdims=1)
        weights = g.op("Softmax", g.op("Sub", both, top), axis=-1)
        weights = g.op("Slice", weights, g.ints(0), g.ints(-1), g.ints(3))
        mixed = g.merge_heads(g.op("MatMul", weights, g.repeat_kv(value)))
        x = g.op("Add", x, g.linear(mixed, 32, WIDTH, bias=True))
        x = g.op("Add", x, g.mlp(g.rms_norm(x)))
    return g.finish(g.rms_norm(x))


def bigcode(seed=0):
    """One head whose keys and values lie side by side in one cache [batch, positions, 16]."""
    g = Source(17, seed, kv_heads=1)
    g.input("attention_mask", ["batch", "total"], INT64)
    g.input("position_ids", ["batch", "seq"], INT64)
    for layer in range(LAYERS):
        g.input(f"past_key_values.{layer}", ["batch", "past", 16])
    past = g.dim("past_key_values.0", 1)
    total = g.op("Add", past, g.dim("input_ids", 1))
    mask = g.causal_mask(g.op("Range", past, total, g.scalar(1)), total)
    table = g.const(g.random.standard_normal((300, WIDTH)).astype(np.float32), "wpe")
    x = g.op("Add", g.embed(), g.op("Gather", table, "position_ids", axis=0))
    for layer in range(LAYERS):
        fused = g.linear(g.layer_norm(x), WIDTH, WIDTH + 16, bias=True)
        query, new = g.op("Split", fused, g.ints(WIDTH, 16), outputs=2, axis=2)
        past, out = f"past_key_values.{layer}", f"present.{layer}"
        both = g.op("Concat", past, new, axis=-2, out=out)
        key, value = g.op("Split", both, g.ints(8, 8), outputs=2, axis=-1)
        batch, rows = g.extent(query, 0), g.extent(query, 1)
        heads = g.op("Reshape", query, g.op("Concat", batch, rows, g.ints(4, 8), axis=0))
        heads = g.op("Transpose", heads, perm=[0, 2, 1, 3])
        turned = g.op("Unsqueeze", g.op("Transpose", key, perm=[0, 2, 1]), g.ints(1))
        scores = g.op("Mul", g.op("MatMul", heads, turned), g.real(8**-0.5))
        weights = g.op("Softmax", g.op("Add", scores, mask), axis=-1)
        mixed = g.op("MatMul", weights, g.op("Unsqueeze", value, g.ints(1)))
        x = g.op("Add", x, g.linear(g.merge_heads(mixed), WIDTH, WIDTH, bias=True))
        x = g.op("Add", x, g.mlp(g.layer_norm(x)))
    g.op("MatMul", g.layer_norm(x), g.weight(WIDTH, VOCABULARY), out="logits")
    g.output("logits", ["batch", "seq", VOCABULARY])
    for layer in range(LAYERS):
        g.output(f"present.{layer}", ["batch", "total", 16])
    return g


def stacked(seed=0):
    """GPT-2 as its first exporters wrote it: one cache [2, batch, heads, positions, width]."""
    g = Source(17, seed)
    for layer in range(LAYERS):
        g.input(f"past_key_values.{layer}", [2, "batch", 4, "past", 8])
    past = g.dim("past_key_values.0", 3)
    total = g.op("Add", past, g.dim("input_ids", 1))
    rows = g.op("Range", past, total, g.scalar(1))
    table = g.const(g.random.standard_normal((300, WIDTH)).astype(np.float32), "wpe")
    positions = g.op("Unsqueeze", rows, g.ints(0))
    x = g.op("Add", g.embed(), g.op("Gather", table, positions, axis=0))
    mask = g.causal_mask(rows, total, padding=False)
    for layer in range(LAYERS):
        fused = g.linear(g.layer_norm(x), WIDTH, 3 * WIDTH, bias=True)
        parts = g.op("Split", fused, g.ints(WIDTH, WIDTH, WIDTH), outputs=3, axis=2)
        query, key, value = (g.split_heads(part, 4) for part in parts)
        both = []
        for at, new in enumerate((key, value)):
            held = g.op("Gather", f"past_key_values.{layer}", g.scalar(at), axis=0)
            both.append(g.op("Concat", held, new, axis=-2))
        mixed = g.merge_heads(g.attend(query, *both, mask))
        wide = [g.op("Unsqueeze", part, g.ints(0)) for part in both]
        g.op("Concat", *wide, axis=0, out=f"present.{layer}")
        x = g.op("Add", x, g.linear(mixed, WIDTH, WIDTH, bias=True))
        x = g.op("Add", x, g.mlp(g.layer_norm(x)))
    g.op("MatMul", g.layer_norm(x), g.weight(WIDTH, VOCABULARY), out="logits")
    g.output("logits", ["batch", "seq", VOCABULARY])
    for layer in range(LAYERS):
        g.output(f"present.{layer}", [2, "batch", 4, "total", 8])
    return g


FAMILIES = {
    "gpt2": gpt2,
    "qwen2": qwen2,
    "qwen3": qwen3,
    "multi-query": multi_query,
    "bloom": bloom,
    "gemma": gemma,
    "gpt-oss": gpt_oss,
    "multi-query-fused": bigcode,
    "gpt2-stacked": stacked,
}
