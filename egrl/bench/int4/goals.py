"""Which goals are met: computed from the rows, never written by hand."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from egrl.bench.int4 import speed_decoder
from egrl.bench.int4.methods import METHODS, OF_SUBJECT, REFERENCE
from egrl.bench.int4.quality import PART
from egrl.bench.int4.rows import Row, Rows, row_key
from egrl.bench.int4.scores import mean_interval
from egrl.bench.int4.speed import PART as SPEED
from egrl.bench.int4.subjects import SUBJECTS
from egrl.bench.int4.texts import JUDGED

MOST_BITS = 4.6
CALIBRATED_LOSS = 0.05
FREE_LOSS = 0.10
MINILM_LOSS = 0.005
MKQ_LOSS = 0.003
MOST_SECONDS = 60.0
MOST_MEMORY = 2.5
LEAST_SPEEDUP = 2.5


@dataclass(frozen=True, slots=True)
class Verdict:
    """One goal.

    Attributes:
        goal: in a phrase.
        word: `met`, `short` or `not measured`.
        says: the numbers.
    """

    goal: str
    word: str
    says: str

    @property
    def line(self) -> str:
        """For the document."""
        return f"- {self.goal}: **{self.word}**. {self.says}"


def section(rows: Rows) -> list[str]:
    """Markdown."""
    verdicts = [
        _language(rows, True),
        _language(rows, False),
        _accuracy(rows, "without data, within 0.5 point of fp32", MINILM_LOSS, None),
        _accuracy(rows, "`mkq` at 4 bits within 0.3 point of fp32", MKQ_LOSS, "mkq"),
        *(_best(rows, name) for name in SUBJECTS),
        _seconds(rows),
        _memory(rows),
        _speed(rows, "smollm2-decode", "SmolLM2, one token at a time, the graph as it came"),
        *(
            _speed(rows, name, f"SmolLM2, one token behind {count:,}, compiled with --decode")
            for name, count in speed_decoder.NAMES.items()
        ),
        _speed(rows, "bert-base", "BERT-base, 128 tokens"),
    ]
    return [
        "## Goals",
        "",
        "Computed from the rows. A method without data is one that was given no samples.",
        "",
        *(verdict.line for verdict in verdicts),
        "",
    ]


def measured(rows: Rows, model: str, method: str) -> Row | None:
    """A quality row that has a measurement."""
    row = rows.get(row_key(PART, model, method))
    return row if row is not None and not row.failed else None


def ours(rows: Rows, model: str, calibrated: bool | None = None) -> list[Row]:
    """Our rows of a model, with or without samples; both where None."""
    return [
        row
        for name in OF_SUBJECT[model]
        if not METHODS[name].peer
        and calibrated in (None, METHODS[name].calibrated)
        and (row := measured(rows, model, name)) is not None
    ]


def peers(rows: Rows, model: str) -> list[Row]:
    """The others' rows of a model."""
    return [
        row
        for name in OF_SUBJECT[model]
        if METHODS[name].peer and (row := measured(rows, model, name)) is not None
    ]


def _language(rows: Rows, calibrated: bool) -> Verdict:
    """The rotated language model within a share of fp32 on both texts, at few bits."""
    limit = CALIBRATED_LOSS if calibrated else FREE_LOSS
    how = "with calibration" if calibrated else "without data"
    goal = (
        f"SmolLM2 rotated {how}: perplexity within {100 * limit:.0f} % of fp32 on both texts at "
        f"no more than {MOST_BITS} bits a weight"
    )
    exact = measured(rows, "smollm2-rotated", REFERENCE)
    found = [row for row in ours(rows, "smollm2-rotated", calibrated) if 0 < row.bits <= MOST_BITS]
    if exact is None or not found:
        return Verdict(goal, "not measured", "")
    best = min(found, key=lambda row: (worst_loss(row, exact), row.method))
    word = "met" if worst_loss(best, exact) <= limit else "short"
    numbers = ", ".join(f"{text} {100 * loss(best, exact, text):+.1f} %" for text in JUDGED)
    return Verdict(goal, word, f"Best is `{best.method}`: {numbers} at {best.bits:.2f} bits.")


def loss(row: Row, exact: Row, text: str) -> float:
    """Relative increase of perplexity on a text."""
    name = f"{text} perplexity"
    return row.metrics[name] / exact.metrics[name] - 1.0


def worst_loss(row: Row, exact: Row) -> float:
    """The larger increase of both texts."""
    return max(loss(row, exact, text) for text in JUDGED)


def _accuracy(rows: Rows, goal: str, limit: float, method: str | None) -> Verdict:
    goal = f"MiniLM {goal}"
    if method is None:
        found = [row for row in ours(rows, "minilm", False) if 0 < row.bits <= 5.0]
    else:
        row = measured(rows, "minilm", method)
        found = [] if row is None else [row]
    if not found:
        return Verdict(goal, "not measured", "")
    best = max(found, key=lambda row: (row.metrics["change"], row.method))
    low, high = best.intervals["change"]
    exact = measured(rows, "minilm", REFERENCE)
    base = f" from {100 * exact.metrics['accuracy']:.1f} %" if exact is not None else ""
    return Verdict(
        goal,
        "met" if best.metrics["change"] >= -limit else "short",
        f"`{best.method}`: {100 * best.metrics['change']:+.2f} points{base} "
        f"(95 %: {100 * low:+.2f} to {100 * high:+.2f}).",
    )


def _best(rows: Rows, model: str) -> Verdict:
    """Ours against the best of the others, at no more bits than it spends."""
    subject = SUBJECTS[model]
    goal = f"{subject.title}: best, or within noise of the best, in {subject.metric}"
    others = peers(rows, model)
    if not others or not ours(rows, model):
        return Verdict(goal, "not measured", "")
    sign = 1.0 if subject.falls else -1.0

    def rank(row: Row) -> tuple[float, str]:
        return sign * row.metrics[subject.metric], row.method

    rival = min(others, key=rank)
    allowed = [row for row in ours(rows, model) if 0 < row.bits <= rival.bits + 1e-9]
    if not allowed:
        return Verdict(goal, "not measured", f"`{rival.method}` has {rival.bits:.2f} bits.")
    best = min(allowed, key=rank)
    ahead = rank(best)[0] <= rank(rival)[0]
    noise = "" if ahead else _within_noise(best, rival)
    word = "met" if ahead or noise else "short"
    says = (
        f"`{best.method}` {best.metrics[subject.metric]:.4g} at {best.bits:.2f} bits against "
        f"`{rival.method}` {rival.metrics[subject.metric]:.4g} at {rival.bits:.2f}{noise}."
    )
    return Verdict(goal, word, says)


def _within_noise(best: Row, rival: Row) -> str:
    """What says that a difference is noise; empty where nothing does."""
    name = JUDGED[0]
    if name in best.samples and name in rival.samples:
        gap = np.array(best.samples[name]) - np.array(rival.samples[name])
        low, high = mean_interval(gap)
        return "; the interval of the difference holds 0" if low <= 0.0 <= high else ""
    if "change" in best.intervals and "change" in rival.intervals:
        (low, high), (low_2, high_2) = best.intervals["change"], rival.intervals["change"]
        return "; their intervals overlap" if low <= high_2 and low_2 <= high else ""
    return ""


def _seconds(rows: Rows) -> Verdict:
    goal = f"SmolLM2 without data in under {MOST_SECONDS:.0f} s"
    found = [row for row in ours(rows, "smollm2-rotated", False) if row.bits < 5]
    if not found:
        return Verdict(goal, "not measured", "")
    says = ", ".join(f"`{row.method}` {row.seconds:.0f} s" for row in found)
    default = next((row for row in found if row.method == "easyquant"), found[0])
    word = "met" if default.seconds < MOST_SECONDS else "short"
    return Verdict(goal, word, f"The default is `{default.method}`. {says}.")


def _memory(rows: Rows) -> Verdict:
    goal = f"SmolLM2: peak memory under {MOST_MEMORY} times the fp32 model"
    exact = measured(rows, "smollm2-rotated", REFERENCE)
    found = ours(rows, "smollm2-rotated")
    if exact is None or not exact.file_bytes or not found:
        return Verdict(goal, "not measured", "")
    times = {row.method: row.peak_bytes / exact.file_bytes for row in found}
    word = "met" if max(times.values()) < MOST_MEMORY else "short"
    says = ", ".join(f"`{name}` {value:.1f}" for name, value in times.items())
    return Verdict(goal, word, f"{says}; the fp32 file has {exact.file_bytes / 1e6:.0f} MB.")


def _speed(rows: Rows, model: str, title: str) -> Verdict:
    goal = f"{title}: at least {LEAST_SPEEDUP} times as fast as fp32"
    found = [row for row in _speeds(rows, model) if not row.method.startswith("ort")]
    if not found:
        return Verdict(goal, "not measured", "")
    best = max(found, key=lambda row: (row.metrics["ratio"], row.method))
    low, high = best.intervals["ratio"]
    word = "met" if best.metrics["ratio"] >= LEAST_SPEEDUP else "short"
    return Verdict(
        goal, word, f"`{best.method}` {best.metrics['ratio']:.2f} ({low:.2f} to {high:.2f})."
    )


def _speeds(rows: Rows, model: str) -> Sequence[Row]:
    return [
        row
        for row in rows.values()
        if row.part == SPEED
        and row.model == model
        and row.method != REFERENCE
        and not row.failed
        and math.isfinite(row.metrics["ratio"])
    ]
