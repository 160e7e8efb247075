"""What `egrl compile --decode` makes of a decoder, timed: one token behind short and full caches.

The source decodes with the operators that its exporter wrote; the compiled graphs attend with
onnxruntime's fused operator. So there are two comparisons: with the compiled float graph, and with
the source as it came, which is a row of its own.
"""

import json
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx_ir as ir

from egrl.bench.int4.methods import REFERENCE
from egrl.bench.int4.plain import plain_file
from egrl.bench.int4.rows import Book
from egrl.bench.int4.speed import Feeds, Run, bound_run, interleaved
from egrl.bench.model_index import read_index
from egrl.bench.settings import Settings
from egrl.compression.compress import Compression
from egrl.compression.runner import OnnxRuntimeRunner
from egrl.decoding_weights import compress_weights
from graph_ir.decoder.decoder import TOKENS, Decoder
from graph_ir.decoder.read import read_decoder
from graph_ir.kv.layout import full_layout
from graph_ir.kv.operator import STATES
from graph_ir.kv.static_body import PAST
from graph_ir.kv.step import step_graph
from runtime.manifest import Execution
from runtime.npz import read_inputs
from runtime.session import input_ports, make_session

NAMES: dict[str, int] = {"smollm2, compiled, 128 positions": 128, "smollm2, compiled": 1024}
"""Rows by how many positions are attended to, in caches of 1,024."""
ROUNDS = 31
AS_EXPORTED = "fp32, as exported"
VARIANTS: dict[str, str] = {
    "int4, group 32": "int4:rtn,group=32",
    "int4, group 64": "int4:rtn,group=64",
    "int4, group 128": "int4:rtn,group=128",
    "int8, group 128": "int8:rtn,group=128",
}
_SOURCE = "smollm2-decode"
_CALIBRATION_ROWS = 32


def measure(settings: Settings, book: Book, name: str) -> None:
    """Measure the rows of one length, a key of `NAMES`."""
    entry = read_index(settings.folder, [_SOURCE])[_SOURCE]
    source = settings.folder / entry.file
    context = entry.dims["context"]
    decoder = read_decoder(source, OnnxRuntimeRunner())
    with TemporaryDirectory() as scratch:
        folder = Path(scratch)
        runs = {REFERENCE: _step(decoder, context, NAMES[name], Execution(), folder / "fp32")}
        exported = plain_file(source, entry.dims, folder / "source")
        feeds = read_inputs(settings.folder / entry.inputs)
        runs[AS_EXPORTED] = bound_run(exported, Execution(), feeds)
        for variant, text in VARIANTS.items():
            made, done = compress_weights(decoder, Compression((text,)), _CALIBRATION_ROWS)
            runs[variant] = _step(made, context, NAMES[name], done.execution, folder / variant)
        rows = interleaved(runs, ROUNDS).rows(name)
    book.add(*rows.values())
    for row in rows.values():
        print(f"{row.key}: {row.metrics['ratio']:.2f} x fp32", flush=True)


def _step(
    decoder: Decoder, context: int, positions: int, execution: Execution, folder: Path
) -> Run:
    """A token at the last of some positions."""
    layout = full_layout(context, tuple(layer.kv_heads for layer in decoder.layers))
    model = step_graph(decoder, layout, 1, "onnxruntime")
    folder.mkdir()
    path = folder / "model.onnx"
    ir.save(model, path, external_data="weights.data", size_threshold_bytes=4096)
    pairs = {after: before for before, after in json.loads(model.metadata_props[STATES])}
    rng = np.random.default_rng(0)
    feeds: Feeds = {}
    for port in input_ports(make_session(path, Execution("basic"))):
        if port.name == TOKENS:
            feeds[port.name] = np.ones(port.shape, np.int64)
        elif port.name == PAST:
            feeds[port.name] = np.array([positions - 1])
        else:
            feeds[port.name] = rng.standard_normal(port.shape, np.float32)
    return bound_run(path, execution, feeds, pairs)
