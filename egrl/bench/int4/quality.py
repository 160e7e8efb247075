"""Quality, size, time and memory: each method compresses a file in a process of its own."""

import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import msgspec

from egrl.bench.int4.compressing import folder_bytes, write_calibration
from egrl.bench.int4.methods import METHODS, OF_SUBJECT, REFERENCE, SLOW, Method
from egrl.bench.int4.peers import nncf_python
from egrl.bench.int4.perplexity import FUSED
from egrl.bench.int4.process import run_measured
from egrl.bench.int4.rows import FAILURES, Book, Row, row_key
from egrl.bench.int4.stored_bits import stored_bits
from egrl.bench.int4.subjects import SUBJECTS, Subject
from egrl.bench.int4.worker import Job, Result
from egrl.bench.settings import Settings, processor
from graph_ir.errors import InputError
from runtime.manifest import Execution
from runtime.session import make_session

PART = "quality"
PEER_NNCF = Path(__file__).with_name("peer_nncf.py")


@dataclass(frozen=True, slots=True)
class Task:
    """A row to be measured."""

    name: str
    subject: Subject
    method: Method


def measure(settings: Settings, book: Book) -> None:
    """Measure the rows that are missing or failed, one after the other."""
    tasks = [
        Task(name, SUBJECTS[name], METHODS[method])
        for name in SUBJECTS
        if settings.wants_model(name)
        for method in OF_SUBJECT[name]
        if settings.wants_method(method, method in SLOW)
    ]
    known = book.rows()
    for name in dict.fromkeys(task.name for task in tasks):
        if settings.again or row_key(PART, name, REFERENCE) not in known:
            _add(book, _reference(settings.folder, name, SUBJECTS[name]))
    missing = [task for task in tasks if settings.again or not _is_there(known, task)]
    print(f"{len(missing)} of {len(tasks)} quality rows to measure", flush=True)
    for task in missing:
        _add(book, _measured(settings.folder, task))


def _is_there(known: dict[str, Row], task: Task) -> bool:
    row = known.get(row_key(PART, task.name, task.method.name))
    return row is not None and not row.failed


def _add(book: Book, row: Row) -> None:
    book.add(row)
    print(f"{row.key}: {row.failed or _line(row)}", flush=True)


def _line(row: Row) -> str:
    found = ", ".join(f"{name} {value:.4g}" for name, value in row.metrics.items())
    cost = f"{row.seconds:.1f} s ({row.cpu_seconds:.1f} of CPU), {row.peak_bytes / 1e6:.0f} MB"
    return f"{found}, {row.bits:.3f} bits, {cost}"


def _reference(folder: Path, name: str, subject: Subject) -> Row:
    """The uncompressed model against itself."""
    source = subject.source(folder)
    session = make_session(source, Execution(intra_op_threads=0))
    scores = subject.judge(folder, session, session)
    return Row(
        PART,
        name,
        REFERENCE,
        scores.metrics,
        samples=scores.samples,
        data=scores.data,
        bits=32.0,
        file_bytes=folder_bytes(source.parent),
        machine=processor(),
    )


def _measured(folder: Path, task: Task) -> Row:
    """A row; one with the reason where the method fails."""
    try:
        return _compressed(folder, task)
    except FAILURES as error:
        reason = " ".join(str(error).split())[:300]
        return Row(PART, task.name, task.method.name, failed=reason, machine=processor())


def _compressed(folder: Path, task: Task) -> Row:
    source = task.subject.source(folder)
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / "out"
        out.mkdir()
        samples = ""
        if task.method.calibrated:
            feeds = task.subject.calibration(folder, task.subject.samples)
            samples = str(write_calibration(Path(scratch) / "calibration", feeds))
        measured = run_measured(_command(folder, task.method, source, out, samples))
        result = msgspec.json.decode((out / "result.json").read_bytes(), type=Result)
        (out / "result.json").unlink()
        bits = stored_bits(out / "model.onnx", source)
        size = folder_bytes(out)
        session = make_session(out / "model.onnx", FUSED, threads=0)
        reference = make_session(source, Execution(intra_op_threads=0))
        scores = task.subject.judge(folder, session, reference)
    return Row(
        PART,
        task.name,
        task.method.name,
        scores.metrics,
        scores.intervals,
        scores.samples,
        scores.data,
        bits.per_weight,
        size,
        result.seconds,
        measured.peak_bytes,
        measured.cpu_seconds,
        result.notes,
        machine=processor(),
    )


def _command(folder: Path, method: Method, source: Path, out: Path, samples: str) -> list[str]:
    if method.peer.startswith("nncf"):
        python = str(nncf_python(folder))
        command = [python, str(PEER_NNCF), str(source), str(out), str(method.group)]
        return [*command, samples] if samples else command
    if method.peer == "autoround":
        raise InputError(
            "autoround: it compresses models of transformers and writes no ONNX; see the document"
        )
    texts = [method.spec] if method.spec else []
    tool = method.peer or "egrl"
    job = Job(tool, str(source), str(out), texts, {}, samples, method.group)
    path = out.parent / "job.json"
    path.write_bytes(msgspec.json.encode(job))
    return [sys.executable, "-m", "egrl.bench.int4.worker", str(path)]
