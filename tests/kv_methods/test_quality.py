import math

import numpy as np
import pytest

from egrl.bench.kv.document import document_lines
from egrl.bench.kv.facts import DEPTHS, Haystack, Question, found, haystack
from egrl.bench.kv.quality import ask, score_text
from egrl.bench.kv.quality_goals import facts_lost, goals, valid_depths, worst_loss
from egrl.bench.kv.quality_methods import BOTH, CASES, EIGHT, PART, PRUNED, REFERENCE
from egrl.bench.kv.rows import Book, Row, read_rows
from egrl.bench.kv.scorer import Scorer, with_stored_weights
from egrl.compression.runner import OnnxRuntimeRunner
from egrl.compression.spec import parse_spec
from egrl.kv.methods.full import Full
from egrl.kv.methods.snapkv import SnapKv
from egrl.kv.methods.streaming import Streaming
from egrl.kv.registry import kv_method
from graph_ir.decoder.decoder import LOGITS, POSITIONS, TOKENS
from graph_ir.errors import InputError
from tests.decoder.tiny import tiny_decoder

DECODER = tiny_decoder(layers=2)
IDS = np.random.default_rng(3).integers(0, DECODER.vocabulary, (2, 40))


def exact_logits(ids_S):
    feeds = {TOKENS: ids_S[None], POSITIONS: np.arange(len(ids_S))}
    return OnnxRuntimeRunner().open(DECODER.model, [LOGITS])(feeds)[LOGITS][0]


def scorer(tmp_path, method, monkeypatch):
    monkeypatch.setattr("egrl.bench.kv.scorer.PROMPT_ROWS", 8)
    monkeypatch.setattr("egrl.bench.kv.scorer.SCORED_ROWS", 4)
    stored = with_stored_weights(DECODER, tmp_path)
    return Scorer(stored, method.layout(stored, 48, None), tmp_path)


def test_the_last_quarter_is_scored_as_the_model_itself_does(tmp_path, monkeypatch):
    loss, guesses = score_text(scorer(tmp_path, Full(), monkeypatch), IDS)
    losses, expected = [], []
    for ids_S in IDS:
        logits_SV = exact_logits(ids_S)[29:39]
        log_SV = logits_SV - np.log(np.exp(logits_SV).sum(axis=-1, keepdims=True))
        losses += (-log_SV[np.arange(10), ids_S[30:]]).tolist()
        expected += logits_SV.argmax(axis=-1).tolist()
    assert guesses == expected
    assert math.isclose(loss, np.mean(losses), rel_tol=1e-5)


def test_a_narrow_window_changes_the_score(tmp_path, monkeypatch):
    full, _ = score_text(scorer(tmp_path, Full(), monkeypatch), IDS)
    narrow, _ = score_text(scorer(tmp_path, Streaming(window=4, sinks=1), monkeypatch), IDS)
    assert abs(full - narrow) > 1e-4


def test_what_is_chosen_of_a_prompt_scores_what_is_behind_it(tmp_path, monkeypatch):
    ids = np.random.default_rng(5).integers(0, DECODER.vocabulary, (2, 64))
    monkeypatch.setattr("egrl.bench.kv.scorer.PROMPT_ROWS", 8)
    monkeypatch.setattr("egrl.bench.kv.scorer.SCORED_ROWS", 4)
    stored = with_stored_weights(DECODER, tmp_path)
    full, whole, few = (
        score_text(Scorer(stored, method.layout(stored, 80, None), tmp_path), ids)
        for method in (Full(), SnapKv(keep=48, growth=17), SnapKv(keep=36, growth=17))
    )
    assert whole[1] == full[1]
    assert math.isclose(whole[0], full[0], rel_tol=1e-6)
    assert 1e-4 < abs(few[0] - full[0]) < 0.5


def test_each_question_is_asked_of_the_text_alone(tmp_path, monkeypatch):
    text_S = IDS[0, :20]
    opened = scorer(tmp_path, Full(), monkeypatch)
    questions = []
    for start in (20, 24, 28):
        asked_S = IDS[0, start : start + 3]
        answer = exact_logits(np.concatenate([text_S, asked_S]))[-1].argmax()
        questions.append(Question(np.append(asked_S, answer), 1))
    wrong = Question(np.append(questions[0].ids[:-1], (answer + 1) % DECODER.vocabulary), 1)
    first = exact_logits(np.concatenate([text_S, wrong.ids[:-1]]))[-1].argmax()
    wrong.ids[-1] = (first + 1) % DECODER.vocabulary
    hay = Haystack(text_S, (*questions, wrong))
    assert ask(opened, [hay, hay]) == [1.0, 1.0, 1.0, 0.0] * 2


def test_an_answer_is_found_where_every_token_of_it_is_the_most_likely():
    question = Question(np.array([5, 3, 7, 1]), 2)
    logits_NV = np.zeros((4, 9), np.float32)
    logits_NV[[0, 1, 2, 3], [8, 7, 1, 2]] = 1
    assert found([logits_NV[:2], logits_NV[2:]], question)
    logits_NV[2, 4] = 2
    assert not found([logits_NV], question)


class Letters:
    """A tokenizer of characters."""

    def encode(self, text, limit=None):
        return [ord(c) for c in text][:limit]


def test_facts_lie_at_even_depths_and_questions_ask_for_them():
    hay = haystack("x" * 2000, Letters(), 1500, seed=4)
    text = "".join(map(chr, hay.ids))
    assert len(text) == 1500
    assert len(hay.questions) == DEPTHS
    places = []
    for question in hay.questions:
        asked = "".join(map(chr, question.ids))
        assert question.answer == 5  # the space and four digits
        places.append(text.index(f"{asked.strip()}."))
    assert places == sorted(places)
    assert all(abs(place / 1500 - (d + 0.5) / 10) < 0.05 for d, place in enumerate(places))
    assert not np.array_equal(haystack("x" * 2000, Letters(), 1500, seed=5).ids, hay.ids)
    with pytest.raises(InputError, match="facts"):
        haystack("x" * 20, Letters(), 1500, seed=4)


def row(name, loss, answers, share=0.6):
    metrics = {"share": share}
    for text in ("topics", "editorials"):
        metrics |= {f"{text} perplexity": 10 * (1 + loss), f"{text} agreement": 0.9}
    return Row(PART, "2048", name, metrics, {"found": answers}, machine="a machine")


FOUND = [1.0] * 9 + [0.0] + [1.0] * 8 + [0.0, 1.0]
ROWS = {
    entry.key: entry
    for entry in (
        row(REFERENCE, 0.0, FOUND, 2.0),
        row("fitted, 30 % of the bytes", 0.013, [1.0] * 20),
        row("streaming, 30 % of the bytes", 0.2, [0.0] * 20),
        row("fitted, 10 % of the bytes", 0.05, [0.0] * 20, 0.1),
        row("streaming, 10 % of the bytes", 0.04, [0.0] * 20, 0.1),
    )
}


def test_goals_come_from_the_rows():
    reference = ROWS["quality: 2048: full cache"]
    assert valid_depths(reference) == list(range(8))
    assert worst_loss(ROWS["quality: 2048: fitted, 30 % of the bytes"], reference) == pytest.approx(
        0.013
    )
    assert facts_lost(ROWS["quality: 2048: fitted, 30 % of the bytes"], reference) == 0
    assert facts_lost(ROWS["quality: 2048: streaming, 30 % of the bytes"], reference) == 1
    lines = goals(ROWS)
    words = ["met", "open", "short", "short"]
    assert all(f"**{word}**" in line for word, line in zip(words, lines, strict=True))
    assert "best of 2 measured of 11 is fitted" in lines[1]


def test_the_document_names_what_was_not_measured():
    text = "\n".join(document_lines(ROWS))
    assert "| **fitted, 30 % of the bytes** | 30.0 % | 10.130 | +1.3 % | 90.0 % |" in text
    assert "16 of 16" in text
    assert "void at depths 85 %, 95 %" in text
    assert "Not measured: razor, 30 % of the bytes, " in text
    assert "## Speed\n\nNot measured." in text


def test_rows_survive_their_file_and_a_failure_replaces_no_measurement(tmp_path):
    book = Book(tmp_path / "kv.json")
    for entry in ROWS.values():
        book.add(entry)
    book.add(Row(PART, "2048", REFERENCE, failed="no"))
    assert read_rows(book.path) == ROWS


def test_every_case_is_a_method():
    for case in CASES:
        kv_method(parse_spec(case.spec))
    assert len({case.name for case in CASES}) == len(CASES)
    assert {case.table for case in CASES if not case.peer} == {PRUNED, EIGHT, BOTH}
