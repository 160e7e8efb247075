"""What is timed: single products at three batch sizes, and two models end to end."""

import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from egrl.bench.int4 import speed_decoder
from egrl.bench.int4.compressing import compress_file
from egrl.bench.int4.methods import REFERENCE
from egrl.bench.int4.peer_onnxruntime import compress_peer
from egrl.bench.int4.perplexity import FUSED
from egrl.bench.int4.plain import plain_file
from egrl.bench.int4.rows import FAILURES, Book, Row, row_key
from egrl.bench.int4.speed import PART, Feeds, Run, bound_run, interleaved
from egrl.bench.model_index import read_index
from egrl.bench.settings import Settings, processor
from runtime.manifest import Execution
from runtime.npz import read_inputs

# Products of SmolLM2 (width 576), BERT-base (768), and a large one.
SHAPES = (
    (576, 576),
    (576, 1536),
    (1536, 576),
    (768, 768),
    (768, 3072),
    (3072, 768),
    (2048, 2048),
)
BATCHES = (1, 16, 128)
ROUNDS_LAYER = 41
BURST_OPERATIONS = 5e8
"""A round of a small product repeats it until about this many multiply-adds."""

# Ours by the value of `--compress`, peers by the tool.
VARIANTS: dict[str, str] = {
    "int4, group 32": "int4:rtn,group=32",
    "int4, group 64": "int4:rtn,group=64",
    "int4, group 128": "int4:rtn,group=128",
    "int8, group 128": "int8:rtn,group=128",
    "int8:dynamic": "int8:dynamic",
    "ort-default": "",
    "ort-int8-dynamic": "",
}

END_TO_END: dict[str, int] = {"smollm2-decode": 31, "bert-base": 15}
"""Models by how many rounds they are timed for."""


def measure(settings: Settings, book: Book) -> None:
    """Measure the rows that are missing or failed."""
    for name, rounds in END_TO_END.items():
        if settings.wants_model(name) and _is_missing(settings, book, name):
            _end_to_end(settings, book, name, rounds)
    for name in speed_decoder.NAMES:
        variants = tuple(speed_decoder.VARIANTS)
        if settings.wants_model(name) and _is_missing(settings, book, name, variants):
            speed_decoder.measure(settings, book, name)
    for inner, columns in SHAPES:
        for batch in BATCHES:
            name = layer_name(inner, columns, batch)
            if settings.wants_model("layers") and _is_missing(settings, book, name):
                _layer(book, name, inner, columns, batch)


def layer_name(inner: int, columns: int, batch: int) -> str:
    """Name of a product in rows."""
    return f"{inner} x {columns}, M = {batch}"


def _is_missing(
    settings: Settings, book: Book, name: str, variants: tuple[str, ...] = tuple(VARIANTS)
) -> bool:
    known = book.rows()
    rows = [known.get(row_key(PART, name, method)) for method in (REFERENCE, *variants)]
    return settings.again or any(row is None or row.failed for row in rows)


def _end_to_end(settings: Settings, book: Book, name: str, rounds: int) -> None:
    entry = read_index(settings.folder, [name])[name]
    feeds = read_inputs(settings.folder / entry.inputs)
    with tempfile.TemporaryDirectory() as scratch:
        source = plain_file(settings.folder / entry.file, entry.dims, Path(scratch) / "source")
        _time(book, name, source, feeds, Path(scratch), rounds, 1)


def _layer(book: Book, name: str, inner: int, columns: int, batch: int) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        source = Path(scratch) / "source" / "model.onnx"
        source.parent.mkdir()
        feeds = write_product(source, inner, columns, batch)
        burst = max(1, round(BURST_OPERATIONS / (inner * columns * batch)))
        _time(book, name, source, feeds, Path(scratch), ROUNDS_LAYER, min(burst, 200))


def write_product(path: Path, inner: int, columns: int, batch: int) -> Feeds:
    """Write `y = x @ weight` with seeded weights, and return an x."""
    rng = np.random.default_rng(0)
    weight = rng.standard_normal((inner, columns), np.float32) / np.float32(inner**0.5)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "weight"], ["y"], "product")],
        "product",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, inner])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [batch, columns])],
        [numpy_helper.from_array(weight, "weight")],
    )
    opset = [helper.make_opsetid("", 21)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=10), path)
    return {"x": rng.standard_normal((batch, inner), np.float32)}


def _time(
    book: Book, name: str, source: Path, feeds: Feeds, scratch: Path, rounds: int, burst: int
) -> None:
    runs: dict[str, Run] = {REFERENCE: bound_run(source, Execution(), _copied(feeds))}
    failed: dict[str, str] = {}
    for variant, spec in VARIANTS.items():
        try:
            model, execution = _variant(variant, spec, source, scratch / variant)
            runs[variant] = bound_run(model, execution, _copied(feeds))
        except FAILURES as error:
            failed[variant] = " ".join(str(error).split())[:300]
    rows = interleaved(runs, rounds, burst).rows(name)
    for variant, reason in failed.items():
        row = Row(PART, name, variant, failed=reason, machine=processor())
        rows[row.key] = row
    book.add(*rows.values())
    for row in rows.values():
        ratio = row.metrics.get("ratio", 0.0)
        print(f"{row.key}: {row.failed or f'{ratio:.2f} x fp32'}", flush=True)


def _variant(variant: str, spec: str, source: Path, out: Path) -> tuple[Path, Execution]:
    if spec:
        done = compress_file(source, {}, [spec], None, out)
        return done.path, done.compressed.execution
    compress_peer(variant, source, out, 4, 32)
    return out / "model.onnx", FUSED


def _copied(feeds: Mapping[str, object]) -> Feeds:
    """Each variant writes its own caches."""
    return {name: np.array(array) for name, array in feeds.items()}
