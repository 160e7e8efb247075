"""What is timed: layers of attention of two shapes, and SmolLM2 itself."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx_ir as ir
import onnxruntime as ort

from egrl.bench.kv.exactness_model import attention_decoder, draw_tables
from egrl.compression.runner import OnnxRuntimeRunner
from graph_ir.decoder.decoder import LOGITS, TOKENS, Attention, Decoder
from graph_ir.decoder.read import read_decoder
from graph_ir.kv.layout import HeadGroup, KvLayout, without_idle_windows
from graph_ir.kv.static_body import COUNT, PAST
from graph_ir.kv.step import step_graph
from runtime.generation.states import STATES_KEY, parse_states
from runtime.manifest import Execution
from runtime.session import make_session

WINDOW, SINKS = 1024, 4
CHUNK = 128
MODEL = "smollm2-decode"
LAYERS = 4
"""Of a shape: what is computed once in a step counts for all layers of a model, not for one."""
_TOKENS = 17


@dataclass(frozen=True, slots=True)
class Shape:
    """One layer.

    Attributes:
        name: in rows.
        query_heads: of the layer.
        kv_heads: of the layer.
        width: of a head.
        contexts: that are timed.
    """

    name: str
    query_heads: int
    kv_heads: int
    width: int
    contexts: tuple[int, ...]


SHAPES = (
    Shape("layer of 32 query heads, 8 KV heads of 128", 32, 8, 128, (1024, 4096, 16384, 32768)),
    Shape("layer of SmolLM2, 9 query heads, 3 KV heads of 64", 9, 3, 64, (1024, 8192, 32768)),
)

REFERENCE = "full"


def _groups(kv_heads: int, bits: int, retrieval: int, window: int) -> tuple[HeadGroup, ...]:
    """The first KV heads keep everything, the others are pruned."""
    full = HeadGroup(tuple(range(retrieval)), 0, 0, False, bits, bits) if retrieval else None
    heads = tuple(range(retrieval, kv_heads))
    rest = HeadGroup(heads, window, SINKS, True, bits, bits) if heads else None
    return tuple(group for group in (full, rest) if group is not None)


VARIANTS: dict[str, Callable[[int], tuple[HeadGroup, ...]]] = {
    REFERENCE: lambda kv_heads: _groups(kv_heads, 32, kv_heads, WINDOW),
    "pruned": lambda kv_heads: _groups(kv_heads, 32, 1, WINDOW),
    "full, int8": lambda kv_heads: _groups(kv_heads, 8, kv_heads, WINDOW),
    "pruned, int8": lambda kv_heads: _groups(kv_heads, 8, 1, WINDOW),
    "full, int4": lambda kv_heads: _groups(kv_heads, 4, kv_heads, WINDOW),
    "pruned, int4": lambda kv_heads: _groups(kv_heads, 4, 1, WINDOW),
}


def layer_decoder(shape: Shape) -> Decoder:
    """A decoder that is attentions of a shape, with random rows."""
    scale = float(shape.width**-0.5)
    attention = Attention(
        "attention", shape.query_heads, shape.kv_heads, shape.width, shape.width, scale
    )
    return attention_decoder(attention, draw_tables(attention, _TOKENS), LAYERS)


def whole_decoder(folder: Path) -> Decoder:
    """SmolLM2 out of the folder of built models."""
    return read_decoder(folder / f"{MODEL}.onnx", OnnxRuntimeRunner())


def layout_of(decoder: Decoder, variant: str, context: int) -> KvLayout:
    """What a variant keeps.

    Of SmolLM2 every other layer has a head that keeps everything: of 3 KV heads a sixth. Layers of
    a shape have one each.
    """
    layers = []
    for index, attention in enumerate(decoder.layers):
        groups = VARIANTS[variant](attention.kv_heads)
        if index % 2 and len(decoder.layers) > LAYERS and groups[-1].window:
            groups = (replace(groups[-1], heads=tuple(range(attention.kv_heads))),)
        layers.append(groups)
    return without_idle_windows(KvLayout(context, tuple(layers)))


class Bound:
    """One step graph with everything in place, at a number of positions."""

    def __init__(self, decoder: Decoder, layout: KvLayout, rows: int, scratch: Path) -> None:
        """Writes the graph and opens it.

        Args:
            decoder: whose step it is.
            layout: what is kept.
            rows: of a step.
            scratch: folder for the file; weights stay where they are mapped from.
        """
        model = step_graph(decoder, layout, rows, "onnxruntime")
        pairs = parse_states(model.metadata_props.get(STATES_KEY), "step")
        shapes = {value.name: value for value in model.graph.inputs}
        path = scratch / f"step{rows}.onnx"
        ir.save(model, path, external_data=f"step{rows}.data", size_threshold_bytes=4096)
        self._session = make_session(path, Execution(), 1)
        self._binding = self._session.io_binding()
        rng = np.random.default_rng(0)
        self._values = []
        self.cache_bytes = 0
        for before, after in pairs:
            value = shapes[before]
            assert value.dtype is not None, before
            assert value.shape is not None, before
            dtype, extents = value.dtype.numpy(), value.shape.numpy()
            array = (4 * rng.random(extents, np.float32)).astype(dtype)
            state = ort.OrtValue.ortvalue_from_numpy(array)
            self.cache_bytes += array.nbytes
            self._binding.bind_ortvalue_input(before, state)
            self._binding.bind_ortvalue_output(after, state)
            self._values.append(state)
        self._past = np.zeros(1, np.int64)
        feeds = {TOKENS: np.arange(rows)[None] % _TOKENS, PAST: self._past}
        if rows > 1:
            feeds[COUNT] = np.array([rows])
        for name, array in feeds.items():
            given = ort.OrtValue.ortvalue_from_numpy(array)
            self._binding.bind_ortvalue_input(name, given)
            self._values.append(given)
            if name == PAST:
                self._past_value = given
        self._binding.bind_output(LOGITS)

    def at(self, positions: int) -> Callable[[], None]:
        """A step after so many positions."""
        past = np.array([positions], np.int64)

        def run() -> None:
            self._past_value.update_inplace(past)
            self._session.run_with_iobinding(self._binding)

        return run
