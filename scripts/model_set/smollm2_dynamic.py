"""SmolLM2-135M-Instruct as one graph with growing caches, as exporters of PyTorch models write it.

`smollm2`  reads any number of tokens after any number of tokens.
    input_ids int64 [1, seq], attention_mask int64 [1, total], position_ids int64 [1, seq],
    past_key_values.{i}.key and past_key_values.{i}.value float [1, 3, past, 64]
    -> logits float [1, seq, 49152], present.{i}.key and present.{i}.value float [1, 3, total, 64]

`total` is past + seq; `present` is `past` with the new rows appended, keys stored rotated. The
weights are those of `smollm2-prefill` and `smollm2-decode`, in the same data file.

Shape suffixes: S positions of this call, T all positions so far.
"""

import numpy as np
from onnx import TensorProto

from model_set.cache import Cache
from model_set.graph import Attributes, Graph
from model_set.smollm2 import Decoder
from model_set.smollm2_weights import (
    Dimensions,
    Slot,
    dimensions,
    layout,
    open_source,
    write_weights,
)


class GrowingDecoder(Decoder):
    """A decoder whose caches are appended to."""

    def states(
        self, normed: str, index: int, rotation: tuple[str, str], slot: str | None
    ) -> tuple[str, str]:
        """Keys and values so far, the new ones at the end."""
        node = self.graph.node
        states = []
        for part in ("key", "value"):
            at = f"layers.{index}.{part}"
            new = self.linear(normed, f"blk.{index}.attn_{part[0]}.weight", at)
            new = node("Reshape", [new, "kv_shape"], f"{at}.heads")
            perm: Attributes = {"perm": [0, 2, 1, 3]}
            new = node("Transpose", [new], f"{at}.turned", perm)
            if part == "key":
                new = self.rotate(new, rotation, f"{at}.rope")
            past = f"past_key_values.{index}.{part}"
            output = f"present.{index}.{part}"
            states.append(node("Concat", [past, new], f"{at}.append", {"axis": 2}, output))
        return states[0], states[1]

    def padded_mask(self, seen_ST: str) -> str:
        """0 [S, T] where a slot is seen and holds a token, else the lowest float."""
        node = self.graph.node
        holds = node("Cast", ["attention_mask"], "mask.tokens", {"to": TensorProto.BOOL})
        both = node("And", [seen_ST, holds], "mask.both")
        return node("Where", [both, "visible", "hidden"], "mask")

    def mask(self, positions_S: str, slots_T: str) -> str:
        """Causal by the place in the caches, which padding may part from the position."""
        node = self.graph.node
        past = self.length("past_key_values.0.key", "length_axis", "past_length")
        rows = self.length("input_ids", "one", "rows")
        total = node("Add", [past, rows], "total_length")
        every = node("Range", ["zero", total, "one"], "slots")
        own = node("Range", [past, total, "one"], "own_slots")
        column = node("Unsqueeze", [own, "axis_1"], "mask.column")
        return self.padded_mask(node("LessOrEqual", [every, column], "mask.seen"))


def dynamic(sizes: Dimensions, slots: dict[str, Slot]) -> Graph:
    """The graph."""
    decoder = GrowingDecoder("smollm2", sizes, slots)
    graph = decoder.graph
    graph.weight("length_axis", np.array(2, np.int64))
    graph.add_input("input_ids", [1, "seq"], TensorProto.INT64)
    graph.add_input("attention_mask", [1, "total"], TensorProto.INT64)
    graph.add_input("position_ids", [1, "seq"], TensorProto.INT64)
    for index in range(sizes.layers):
        for part in ("key", "value"):
            shape: list[int | str] = [1, sizes.kv_heads, "past", sizes.head_width]
            graph.add_input(f"past_key_values.{index}.{part}", shape)
    positions = graph.node("Squeeze", ["position_ids", "axis_0"], "position")
    decoder.finish(positions, positions, slot=None)
    decoder.declare_outputs("seq", "total")
    return graph


def build(cache: Cache, name: str) -> None:
    """Writes `smollm2.onnx`, and the weights if need be."""
    file = open_source(cache)
    slots = layout(file)
    write_weights(cache, file, slots)
    with cache.writing(cache.model_path(name)) as path:
        dynamic(dimensions(file), slots).save(path)
