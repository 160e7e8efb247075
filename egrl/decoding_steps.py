"""The graphs of a decoder: one that reads a chunk of the prompt, one that adds a token.

Where positions of the prompt are chosen there is a third between them, `graph_ir.kv.select`.
"""

from dataclasses import dataclass
from typing import Literal

import onnx_ir as ir

from egrl.compression.gate import check_executed
from egrl.decoding_shrink import Kept
from graph_ir.compression.fusable import make_fusable
from graph_ir.errors import InputError
from graph_ir.kv.layout import prompt_layout
from graph_ir.kv.select import select_graph
from graph_ir.kv.step import prompt_graph, step_graph
from graph_ir.passes.pipeline import PassReport, run_lossless
from runtime.generation.record import DECODE, PREFILL, SELECT

DEFAULT_CHUNK = 128
Form = Literal["standard", "onnxruntime"]
FORMS: tuple[Form, ...] = ("onnxruntime", "standard")


@dataclass(frozen=True, slots=True)
class Steps:
    """The graphs of a decoder.

    Attributes:
        graphs: by name; weights of the same name are the same.
        chunk: rows of the graph that reads the prompt.
        passes: lossless ones that changed something.
    """

    graphs: dict[str, ir.Model]
    chunk: int
    passes: tuple[PassReport, ...]


def make_steps(kept: Kept, chunk: int | None, form: Form) -> Steps:
    """Makes all graphs, of the same weights and caches.

    Args:
        kept: the decoder and what its caches keep.
        chunk: rows of the prompt's graph; as many as it can have up to `DEFAULT_CHUNK` where None.
        form: of the attention.

    Raises:
        InputError: the chunk is larger than what is kept, or a quantized weight would be widened
            on every call.
    """
    rows = _rows(kept, chunk)
    graphs: dict[str, ir.Model] = {}
    passes: list[PassReport] = []
    for name in (PREFILL, SELECT, DECODE) if kept.layout.keep else (PREFILL, DECODE):
        model = _made(name, kept, rows, form)
        model.graph.name = name
        passes += run_lossless(model)
        if kept.compressed.records and name != SELECT:
            make_fusable(model.graph)
        graphs[name] = model
    if kept.compressed.records:
        earlier = frozenset(kept.decoder.model.graph.initializers)
        execution, where = kept.compressed.execution, kept.decoder.source_path
        check_executed(graphs[DECODE], execution, earlier, where)
    return Steps(graphs, rows, tuple(passes))


def _made(name: str, kept: Kept, rows: int, form: Form) -> ir.Model:
    decoder, layout = kept.decoder, kept.layout
    if name == SELECT:
        return select_graph(decoder, layout)
    if name == DECODE:
        return step_graph(decoder, layout, 1, form)
    return (prompt_graph if layout.keep else step_graph)(decoder, layout, rows, form)


def _rows(kept: Kept, chunk: int | None) -> int:
    """Rows of the prompt's graph: no more than the smallest ring has room for."""
    context = kept.layout.context
    layers = prompt_layout(kept.layout).layers
    windows = [group.most_rows(context) for groups in layers for group in groups]
    most = min([context, *windows])
    if most < 2:
        raise InputError(f"window: expected 2 or more positions, got {most}")
    if chunk is None:
        return min(DEFAULT_CHUNK, most)
    if not 2 <= chunk <= most:
        raise InputError(
            f"--chunk {chunk}: expected 2 to {most}, the fewest positions that a head keeps"
        )
    return chunk
