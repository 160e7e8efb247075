"""Quality of pruned caches on SmolLM2 at equal bytes: perplexity, agreement, facts found.

Of each text the first three quarters are read as a prompt, in chunks, and are compressed before
anything behind them is seen; the last quarter is predicted through the compressed caches.
"""

import hashlib
import math
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from egrl.bench.int4.perplexity import log_probabilities
from egrl.bench.int4.texts import JUDGED, TEXTS, Ids, digest, read_tokenizer, windows
from egrl.bench.kv.facts import Haystack, found, haystack
from egrl.bench.kv.quality_methods import CASES, PART, REFERENCE, Case
from egrl.bench.kv.quality_table import section
from egrl.bench.kv.rows import Book, Row, Rows, measured
from egrl.bench.kv.scorer import Scorer, with_stored_weights
from egrl.bench.settings import Settings, processor
from egrl.compression.runner import OnnxRuntimeRunner
from egrl.compression.spec import parse_spec
from egrl.kv.budget import layout_share
from egrl.kv.choosing import ChoosingMethod
from egrl.kv.plan import plan_layout
from egrl.kv.registry import kv_method
from graph_ir.decoder.decoder import Decoder
from graph_ir.decoder.read import read_decoder
from graph_ir.errors import EgrlError, InputError

__all__ = ["measure", "section"]

MODEL = "smollm2"
HAY = "editorials"


@dataclass(frozen=True, slots=True)
class Subject:
    """A context and how much is measured at it.

    Attributes:
        context: tokens of a text.
        windows: of each text.
        haystacks: texts with ten facts each.
    """

    context: int
    windows: int
    haystacks: int

    @property
    def name(self) -> str:
        """In rows."""
        return str(self.context)


SUBJECTS = (Subject(2048, 1, 2), Subject(4096, 1, 2), Subject(8192, 1, 1))


def measure(settings: Settings, book: Book) -> None:
    """Measure the rows that are missing or failed, one after the other.

    Raises:
        InputError: a context or method that there is not.
    """
    for flag, asked, expected in (
        ("--model", settings.models, [subject.name for subject in SUBJECTS]),
        ("--method", settings.methods, [case.name for case in CASES]),
    ):
        strange = [name for name in asked if name not in expected]
        if strange:
            raise InputError(f"{flag} {strange[0]}: expected one of {', '.join(expected)}")
    known = book.rows()
    tasks = [
        (subject, case)
        for subject in SUBJECTS
        if settings.wants_model(subject.name)
        for case in CASES
        if _is_wanted(settings, known, subject, case)
    ]
    print(f"{len(tasks)} quality rows to measure", flush=True)
    if not tasks:
        return
    with tempfile.TemporaryDirectory() as scratch:
        decoder = read_decoder(settings.folder / f"{MODEL}.onnx", OnnxRuntimeRunner())
        decoder = with_stored_weights(decoder, Path(scratch))
        for subject, case in tasks:
            row = measure_case(settings.folder, decoder, book.rows(), subject, case, Path(scratch))
            book.add(row)
            shown = ", ".join(f"{name} {value:.4g}" for name, value in row.metrics.items())
            print(f"{row.key}: {row.failed or shown} ({row.seconds:.0f} s of CPU)", flush=True)


def _is_wanted(settings: Settings, known: Rows, subject: Subject, case: Case) -> bool:
    """Whether a row is asked for and missing; what others are compared with always is."""
    there = measured(known, PART, subject.name, case.name) is not None
    if case.name == REFERENCE and not there:
        return True
    return settings.wants_method(case.name) and (settings.again or not there)


def measure_case(
    folder: Path, decoder: Decoder, known: Rows, subject: Subject, case: Case, scratch: Path
) -> Row:
    """One row; one with the reason where the method fails."""
    began = time.process_time()
    try:
        method, resolved = kv_method(parse_spec(case.spec))
        learns = method.needs_errors and case.with_text
        more = f",text={_development_text(folder, scratch)}" if learns else ""
        if isinstance(method, ChoosingMethod):
            # All that is scored behind the prompt, its last token included.
            more = f",growth={subject.context // 4 + 1}"
        method, resolved = kv_method(parse_spec(case.spec + more))
        layout = plan_layout(method, decoder, subject.context, OnnxRuntimeRunner())
        scorer = Scorer(decoder, layout, scratch)
        metrics = {"share": layout_share(decoder, layout)}
        samples: dict[str, list[float]] = {}
        seen = hashlib.sha256()
        reference = measured(known, PART, subject.name, REFERENCE)
        for text in JUDGED:
            chosen_WS = windows(text, folder, subject.windows, subject.context)
            seen.update(digest(chosen_WS).encode())
            loss, guesses = score_text(scorer, chosen_WS)
            metrics[f"{text} perplexity"] = math.exp(loss)
            if case.name == REFERENCE:
                samples[f"{text} guesses"] = [float(guess) for guess in guesses]
            elif reference is not None:
                same = np.array(guesses) == np.array(reference.samples[f"{text} guesses"])
                metrics[f"{text} agreement"] = float(same.mean())
        hays = _haystacks(folder, subject)
        for hay in hays:
            seen.update(hay.ids.tobytes())
        samples["found"] = ask(scorer, hays)
        metrics["found"] = float(np.mean(samples["found"]))
    except EgrlError as error:
        reason = " ".join(str(error).split())[:300]
        return Row(PART, subject.name, case.name, failed=reason, machine=processor())
    return Row(
        PART,
        subject.name,
        case.name,
        metrics,
        samples,
        ", ".join(f"{key}={value}" for key, value in resolved.items() if key != "text"),
        seen.hexdigest()[:16],
        time.process_time() - began,
        machine=processor(),
    )


def _development_text(folder: Path, scratch: Path) -> Path:
    """Tokens that methods may be measured on: docstrings and product reviews, none judged."""
    path = scratch / "development.npy"
    if not path.exists():
        np.save(path, windows("calibration", folder, 2, 1024).reshape(-1))
    return path


def score_text(scorer: Scorer, windows_WS: Ids) -> tuple[float, list[int]]:
    """Mean loss in nats over the last quarters of windows, and the most likely tokens there."""
    losses: list[float] = []
    guesses: list[int] = []
    for ids_S in windows_WS:
        scorer.reset()
        # The last token of the prompt predicts the first that is judged.
        first = 3 * len(ids_S) // 4
        scorer.read(ids_S[: first - 1])
        at = first
        for logits_RV in scorer.score(ids_S[first - 1 : -1]):
            log_RV = log_probabilities(logits_RV)
            rows = np.arange(len(log_RV))
            losses += (-log_RV[rows, ids_S[at : at + len(rows)]]).tolist()
            guesses += logits_RV.argmax(axis=-1).tolist()
            at += len(rows)
    return float(np.mean(losses)), guesses


def ask(scorer: Scorer, hays: Sequence[Haystack]) -> list[float]:
    """For each fact, haystack by haystack and depth by depth, 1 where it is found, else 0."""
    answers = []
    for hay in hays:
        scorer.reset()
        scorer.read(hay.ids)
        saved = scorer.snapshot()
        for question in hay.questions:
            scorer.restore(saved)
            answers.append(float(found(scorer.score(question.ids), question)))
    return answers


def _haystacks(folder: Path, subject: Subject) -> list[Haystack]:
    tokenizer = read_tokenizer(folder)
    text = TEXTS[HAY](folder)
    # The questions come after the text and within the context.
    length = subject.context - 64
    half = len(text) // 2
    return [
        haystack(text[half + seed * 3 * length :], tokenizer, length, seed)
        for seed in range(subject.haystacks)
    ]
