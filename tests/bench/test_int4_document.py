from pathlib import Path

import msgspec
import pytest

from egrl.bench.agent.settings import AgentOptions
from egrl.bench.int4 import goals
from egrl.bench.int4.document import document_lines
from egrl.bench.int4.methods import METHODS, OF_SUBJECT
from egrl.bench.int4.rows import Book, Row, read_rows
from egrl.bench.int4.run import run
from egrl.bench.int4.subjects import SUBJECTS
from egrl.bench.options import BenchOptions
from egrl.bench.row_file import rows_text
from graph_ir.errors import InputError


def _text_row(method, topics, editorials, bits=4.5, **more):
    metrics = {}
    for text, value in (("topics", topics), ("editorials", editorials)):
        metrics |= {f"{text} perplexity": value, f"{text} divergence": 0.1, f"{text} changed": 0.2}
    samples = {"topics": [2.0, 2.5], "editorials": [3.0, 3.1]}
    row = Row("quality", "smollm2-rotated", method, metrics, samples=samples, bits=bits)
    return msgspec.structs.replace(row, **more)


def _rows(*rows):
    return {row.key: row for row in rows}


BASE = _text_row("fp32", 10.0, 20.0, 32.0, file_bytes=1000)


def _word(rows, goal):
    (line,) = [line for line in goals.section(rows) if goal in line]
    return line.split("**")[1]


@pytest.mark.parametrize(
    ("topics", "editorials", "bits", "word"),
    [
        (10.4, 20.8, 4.5, "met"),
        (10.4, 21.2, 4.5, "short"),
        (10.6, 20.0, 4.5, "short"),
        (10.0, 20.0, 4.7, "not measured"),
    ],
)
def test_the_goal_row_needs_both_texts_and_few_bits(topics, editorials, bits, word):
    rows = _rows(BASE, _text_row("gptq", topics, editorials, bits))
    assert _word(rows, "rotated with calibration") == word
    assert _word(rows, "rotated without data") == "not measured"


def test_a_calibrated_row_is_no_row_without_data():
    rows = _rows(BASE, _text_row("easyquant", 10.9, 21.9))
    assert _word(rows, "rotated without data") == "met"
    assert _word(rows, "rotated with calibration") == "not measured"


def test_the_best_peer_is_met_within_noise_or_by_being_better():
    def verdict(ours, theirs, our_bits=4.5):
        rows = _rows(
            BASE,
            _text_row("gptq", 10.4, 20.0, our_bits, samples={"topics": ours}),
            _text_row("ort-hqq", 10.2, 20.0, 5.0, samples={"topics": theirs}),
        )
        return _word(rows, f"{SUBJECTS['smollm2-rotated'].title}: best")

    assert verdict([2.4, 2.6], [2.5, 2.5]) == "met"
    assert verdict([2.5, 2.6], [2.4, 2.5]) == "short"
    assert verdict([2.4, 2.6], [2.5, 2.5], our_bits=5.5) == "not measured"


def test_time_and_memory_are_judged():
    slow = _text_row("easyquant", 10.0, 20.0, seconds=61.0, peak_bytes=2600)
    rows = _rows(BASE, slow)
    assert _word(rows, "in under 60 s") == "short"
    assert _word(rows, "peak memory") == "short"
    fast = msgspec.structs.replace(slow, seconds=59.0, peak_bytes=2400)
    assert _word(_rows(BASE, fast), "in under 60 s") == "met"
    assert _word(_rows(BASE, fast), "peak memory") == "met"


def test_a_peer_does_not_meet_the_speed_goal():
    def timed(method, ratio):
        metrics = {"ms": 1.0, "ratio": ratio}
        interval = {"ratio": (ratio - 0.1, ratio + 0.1)}
        return Row("speed", "bert-base", method, metrics, interval)

    rows = _rows(timed("fp32", 1.0), timed("ort-int8-dynamic", 3.0), timed("int8:dynamic", 2.4))
    assert _word(rows, "BERT-base, 128") == "short"
    rows = _rows(timed("fp32", 1.0), timed("int8:dynamic", 2.5))
    assert _word(rows, "BERT-base, 128") == "met"


def test_the_document_names_what_failed_and_what_is_missing():
    failed = Row("quality", "smollm2-rotated", "signround", failed="it needs data")
    text = "\n".join(document_lines(_rows(BASE, _text_row("gptq", 10.4, 20.5), failed)))
    assert "- `signround` failed: it needs data" in text
    assert "`ort-hqq`" in text.split("Missing: ")[1].splitlines()[0]
    assert "| `gptq` | yes | 10.400 | +4.0 % |" in text
    assert "### magika\n" in text


def test_every_subject_is_measured_with_known_methods():
    assert set(OF_SUBJECT) == set(SUBJECTS)
    assert {name for names in OF_SUBJECT.values() for name in names} <= set(METHODS)


def test_a_failure_does_not_replace_a_measurement(tmp_path):
    book = Book(tmp_path / "int4.json")
    good = _text_row("gptq", 10.0, 20.0)
    bad = msgspec.structs.replace(good, metrics={}, samples={}, failed="out of memory")
    book.add(*_rows(bad).values())
    assert book.rows()[good.key].failed
    book.add(*_rows(good).values())
    book.add(*_rows(bad).values())
    assert book.rows() == _rows(good)
    assert book.path.read_bytes() == rows_text(_rows(good))


def test_a_file_that_holds_no_rows_is_refused(tmp_path):
    (tmp_path / "int4.json").write_text('{"a": {"part": 3}}')
    with pytest.raises(InputError, match=r"int4\.json"):
        read_rows(tmp_path / "int4.json")


def _options(tmp_path, models=(), **agent):
    out = tmp_path / "int4.md"
    return BenchOptions(out, Path("nowhere"), list(models), [], agent=AgentOptions(**agent))


def test_unknown_names_are_refused(tmp_path):
    with pytest.raises(InputError, match="--method nothing: expected one of rtn"):
        run(_options(tmp_path, methods=("nothing",)))
    with pytest.raises(InputError, match="--model nothing: expected one of smollm2-rotated"):
        run(_options(tmp_path, models=("nothing",)))


def test_rows_are_merged_and_the_document_rewritten(tmp_path):
    (tmp_path / "other.json").write_bytes(rows_text(_rows(BASE, _text_row("gptq", 10.4, 20.5))))
    run(_options(tmp_path, merge=(tmp_path / "other.json",), rewrite=True))
    assert "`gptq`" in (tmp_path / "int4.md").read_text("utf-8")
    assert set(read_rows(tmp_path / "int4.json")) == set(_rows(BASE, _text_row("gptq", 1, 1)))
