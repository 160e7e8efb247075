"""SmolLM2-135M-Instruct, a decoder of the Llama family, as two graphs with explicit KV caches.

`smollm2-prefill`  reads a prompt from position 0.
    input_ids int64 [1, seq]
    -> logits float [1, seq, 49152], present.{i}.key and present.{i}.value float [1, 3, seq, 64]

`smollm2-decode`   reads one token at a given position.
    input_ids int64 [1, 1], position_ids int64 [1, 1],
    past_key_values.{i}.key and past_key_values.{i}.value float [1, 3, context, 64]
    -> logits float [1, 1, 49152], present.{i}.key and present.{i}.value float [1, 3, context, 64]

A decode step writes its key and value into slot `position` of the caches (one ScatterND each, so
past and present may be one buffer) and attends to the slots 0 to `position`; later slots may hold
anything finite. Keys are stored rotated. To go on after a prompt, copy what prefill returned into
the first slots. Both graphs share one data file, and the embedding is also the head.

Shape suffixes: S positions of this call, T slots that it attends to, D width, K KV heads,
G query heads per KV head, H head width.
"""

import numpy as np
from onnx import TensorProto

from model_set.cache import Cache
from model_set.graph import Attributes, Graph
from model_set.smollm2_weights import (
    LOCATION,
    Dimensions,
    Slot,
    dimensions,
    layout,
    open_source,
    write_weights,
)

OPSET = 18


class Decoder:
    """The graph under construction; every layer sees the same rotation and mask."""

    def __init__(self, name: str, sizes: Dimensions, slots: dict[str, Slot]) -> None:
        self.graph = Graph(name, OPSET)
        self.sizes = sizes
        self.slots = slots
        graph = self.graph
        groups = sizes.query_heads // sizes.kv_heads
        graph.weight("two", np.array(2.0, np.float32))
        graph.weight("epsilon", np.array(sizes.epsilon, np.float32))
        graph.weight("zero", np.array(0, np.int64))
        graph.weight("one", np.array(1, np.int64))
        graph.weight("axis_0", np.array([0], np.int64))
        graph.weight("axis_1", np.array([1], np.int64))
        graph.weight("axis_2", np.array([2], np.int64))
        graph.weight("axis_last", np.array([-1], np.int64))
        graph.weight("visible", np.array(0.0, np.float32))
        graph.weight("hidden", np.array(np.finfo(np.float32).min, np.float32))
        graph.weight("scale", np.array(sizes.head_width**-0.5, np.float32))
        graph.weight("half_start", np.array([0], np.int64))
        graph.weight("half_middle", np.array([sizes.head_width // 2], np.int64))
        graph.weight("half_end", np.array([sizes.head_width], np.int64))
        shape = [0, 0, sizes.kv_heads, sizes.head_width]
        graph.weight("kv_shape", np.array(shape, np.int64))
        shape = [0, 0, sizes.kv_heads, groups, sizes.head_width]
        graph.weight("query_shape", np.array(shape, np.int64))
        graph.weight("merged_shape", np.array([0, 0, sizes.width], np.int64))
        exponents = np.arange(0, sizes.head_width, 2, dtype=np.float64) / sizes.head_width
        frequencies = (sizes.rope_base**-exponents).astype(np.float32)
        graph.weight("rope.frequencies", np.concatenate([frequencies, frequencies]))

    def stored(self, name: str) -> str:
        """A weight of the data file."""
        slot = self.slots[name]
        return self.graph.external_weight(name, LOCATION, list(slot.shape), slot.offset)

    def length(self, tensor: str, axis: str, name: str) -> str:
        """An extent as a scalar."""
        shape = self.graph.node("Shape", [tensor], f"{name}.shape")
        return self.graph.node("Gather", [shape, axis], name, {"axis": 0})

    def rotation(self, positions_S: str) -> tuple[str, str]:
        """Cosine and sine [S, H] of the rotary embedding."""
        node = self.graph.node
        real = node("Cast", [positions_S], "rope.cast", {"to": TensorProto.FLOAT})
        column = node("Unsqueeze", [real, "axis_1"], "rope.column")
        angles = node("Mul", [column, "rope.frequencies"], "rope.angles")
        return node("Cos", [angles], "rope.cos"), node("Sin", [angles], "rope.sin")

    def mask(self, positions_S: str, slots_T: str) -> str:
        """0 [S, T] where the slot is not after the position, else the lowest float."""
        node = self.graph.node
        column = node("Unsqueeze", [positions_S, "axis_1"], "mask.column")
        seen = node("LessOrEqual", [slots_T, column], "mask.seen")
        return node("Where", [seen, "visible", "hidden"], "mask")

    def rms_norm(self, source: str, weight: str, name: str) -> str:
        """`x / sqrt(mean(x^2) + epsilon) * weight`."""
        node = self.graph.node
        square = node("Pow", [source, "two"], f"{name}.square")
        mean = node("ReduceMean", [square, "axis_last"], f"{name}.mean", {"keepdims": 1})
        shifted = node("Add", [mean, "epsilon"], f"{name}.shift")
        root = node("Sqrt", [shifted], f"{name}.root")
        scaled = node("Div", [source, root], f"{name}.scaled")
        return node("Mul", [scaled, self.stored(weight)], name)

    def linear(self, source: str, weight: str, name: str) -> str:
        """Matrix product with a weight of the data file."""
        return self.graph.node("MatMul", [source, self.stored(weight)], name)

    def rotate(
        self, source: str, rotation: tuple[str, str], name: str, output: str | None = None
    ) -> str:
        """`x * cos + (-x2, x1) * sin`, with x1 and x2 the halves of a head."""
        node = self.graph.node
        cos, sin = rotation
        first = node("Slice", [source, "half_start", "half_middle", "axis_last"], f"{name}.first")
        second = node("Slice", [source, "half_middle", "half_end", "axis_last"], f"{name}.second")
        negated = node("Neg", [second], f"{name}.negated")
        turned = node("Concat", [negated, first], f"{name}.turned", {"axis": -1})
        straight = node("Mul", [source, cos], f"{name}.cos")
        crossed = node("Mul", [turned, sin], f"{name}.sin")
        return node("Add", [straight, crossed], name, output=output)

    def attention(
        self, query_1KGSH: str, key_1KTH: str, value_1KTH: str, mask: str, at: str
    ) -> str:
        """Grouped-query attention; the query heads of a group share their KV head by broadcast."""
        node = self.graph.node
        key = node("Unsqueeze", [key_1KTH, "axis_2"], f"{at}.key.group")
        key = node("Transpose", [key], f"{at}.key.turned", {"perm": [0, 1, 2, 4, 3]})
        value = node("Unsqueeze", [value_1KTH, "axis_2"], f"{at}.value.group")
        scores = node("MatMul", [query_1KGSH, key], f"{at}.scores")
        scores = node("Mul", [scores, "scale"], f"{at}.scaled")
        scores = node("Add", [scores, mask], f"{at}.masked")
        weights = node("Softmax", [scores], f"{at}.softmax", {"axis": -1})
        mixed = node("MatMul", [weights, value], f"{at}.mixed")
        mixed = node("Transpose", [mixed], f"{at}.rows", {"perm": [0, 3, 1, 2, 4]})
        return node("Reshape", [mixed, "merged_shape"], f"{at}.merged")

    def states(
        self, normed: str, index: int, rotation: tuple[str, str], slot: str | None
    ) -> tuple[str, str]:
        """Keys and values that the layer attends to: the new ones, or the caches that got them."""
        node = self.graph.node
        states = []
        for part in ("key", "value"):
            at, present = f"layers.{index}.{part}", f"present.{index}.{part}"
            output = present if slot is None else None
            new = self.linear(normed, f"blk.{index}.attn_{part[0]}.weight", at)
            new = node("Reshape", [new, "kv_shape"], f"{at}.heads")
            perm: Attributes = {"perm": [0, 2, 1, 3]}
            if part == "key":
                new = node("Transpose", [new], f"{at}.turned", perm)
                new = self.rotate(new, rotation, f"{at}.rope", output)
            else:
                new = node("Transpose", [new], f"{at}.turned", perm, output)
            if slot is not None:
                inputs = [f"past_key_values.{index}.{part}", slot, new]
                new = node("ScatterND", inputs, f"{at}.write", output=present)
            states.append(new)
        return states[0], states[1]

    def layer(
        self, source: str, index: int, rotation: tuple[str, str], mask: str, slot: str | None
    ) -> str:
        """One transformer layer."""
        node = self.graph.node
        at = f"layers.{index}"
        weights = f"blk.{index}"
        normed = self.rms_norm(source, f"{weights}.attn_norm.weight", f"{at}.attention_norm")
        query = self.linear(normed, f"{weights}.attn_q.weight", f"{at}.query")
        query = node("Reshape", [query, "query_shape"], f"{at}.query.heads")
        query = node("Transpose", [query], f"{at}.query.turned", {"perm": [0, 2, 3, 1, 4]})
        query = self.rotate(query, rotation, f"{at}.query.rope")
        key, value = self.states(normed, index, rotation, slot)
        mixed = self.attention(query, key, value, mask, f"{at}.attention")
        projected = self.linear(mixed, f"{weights}.attn_output.weight", f"{at}.projection")
        middle = node("Add", [source, projected], f"{at}.attention_residual")
        normed = self.rms_norm(middle, f"{weights}.ffn_norm.weight", f"{at}.ffn_norm")
        gate = self.linear(normed, f"{weights}.ffn_gate.weight", f"{at}.gate")
        sigmoid = node("Sigmoid", [gate], f"{at}.sigmoid")
        gate = node("Mul", [gate, sigmoid], f"{at}.silu")
        up = self.linear(normed, f"{weights}.ffn_up.weight", f"{at}.up")
        product = node("Mul", [gate, up], f"{at}.gated")
        down = self.linear(product, f"{weights}.ffn_down.weight", f"{at}.down")
        return node("Add", [middle, down], f"{at}.ffn_residual")

    def finish(self, positions_S: str, slots_T: str, slot: str | None) -> None:
        """Everything between the positions and the logits."""
        node = self.graph.node
        rotation = self.rotation(positions_S)
        mask = self.mask(positions_S, slots_T)
        embedding = self.stored("token_embd.weight")
        out = node("Gather", [embedding, "input_ids"], "embedding", {"axis": 0})
        for index in range(self.sizes.layers):
            out = self.layer(out, index, rotation, mask, slot)
        out = self.rms_norm(out, "output_norm.weight", "final_norm")
        rows = node("Squeeze", [out, "axis_0"], "head.rows")
        logits = node("Gemm", [rows, embedding], "head", {"transB": 1})
        node("Unsqueeze", [logits, "axis_0"], "head.batch", output="logits")

    def declare_outputs(self, positions: int | str, slots: int | str) -> None:
        """Logits, then the caches layer by layer."""
        sizes = self.sizes
        self.graph.add_output("logits", [1, positions, sizes.vocabulary])
        for index in range(sizes.layers):
            for part in ("key", "value"):
                shape = [1, sizes.kv_heads, slots, sizes.head_width]
                self.graph.add_output(f"present.{index}.{part}", shape)


def prefill(sizes: Dimensions, slots: dict[str, Slot]) -> Graph:
    """The graph that reads a prompt."""
    decoder = Decoder("smollm2-prefill", sizes, slots)
    decoder.graph.add_input("input_ids", [1, "seq"], TensorProto.INT64)
    length = decoder.length("input_ids", "one", "length")
    positions = decoder.graph.node("Range", ["zero", length, "one"], "positions")
    decoder.finish(positions, positions, slot=None)
    decoder.declare_outputs("seq", "seq")
    return decoder.graph


def decode(sizes: Dimensions, slots: dict[str, Slot]) -> Graph:
    """The graph that reads one token."""
    decoder = Decoder("smollm2-decode", sizes, slots)
    graph = decoder.graph
    graph.weight("context_axis", np.array(2, np.int64))
    graph.add_input("input_ids", [1, 1], TensorProto.INT64)
    graph.add_input("position_ids", [1, 1], TensorProto.INT64)
    for index in range(sizes.layers):
        for part in ("key", "value"):
            shape: list[int | str] = [1, sizes.kv_heads, "context", sizes.head_width]
            graph.add_input(f"past_key_values.{index}.{part}", shape)
    context = decoder.length("past_key_values.0.key", "context_axis", "context_length")
    every_slot = graph.node("Range", ["zero", context, "one"], "slots")
    position = graph.node("Squeeze", ["position_ids", "axis_0"], "position")
    # Where ScatterND writes: (0, head, position) for every KV head.
    heads = np.arange(sizes.kv_heads, dtype=np.int64).reshape(1, -1, 1, 1)
    graph.weight("slot.heads", np.concatenate([np.zeros_like(heads), heads], axis=-1))
    graph.weight("slot.shape", np.array(heads.shape, np.int64))
    repeated = graph.node("Expand", [position, "slot.shape"], "slot.position")
    slot = graph.node("Concat", ["slot.heads", repeated], "slot", {"axis": -1})
    decoder.finish(position, every_slot, slot)
    decoder.declare_outputs(1, "context")
    return graph


def build(cache: Cache, name: str) -> None:
    """Writes `smollm2-prefill.onnx` or `smollm2-decode.onnx`, and the weights if need be."""
    file = open_source(cache)
    slots = layout(file)
    write_weights(cache, file, slots)
    graphs = {"smollm2-prefill": prefill, "smollm2-decode": decode}
    graph = graphs[name](dimensions(file), slots)
    with cache.writing(cache.model_path(name)) as path:
        graph.save(path)
