"""Speed of decoding and of reading a prompt on this machine: one thread, variants in turn.

Times are of the calling thread, which does all the work. Each round runs every variant once in a
new order; a ratio is the median over rounds of the full cache's time over the variant's of the same
round.
"""

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from egrl.bench.int4.speed import interleaved
from egrl.bench.kv.document_table import table
from egrl.bench.kv.rows import Book, Row, Rows, measured
from egrl.bench.kv.speed_cases import (
    CHUNK,
    LAYERS,
    REFERENCE,
    SHAPES,
    SINKS,
    VARIANTS,
    WINDOW,
    Bound,
    layer_decoder,
    layout_of,
    whole_decoder,
)
from egrl.bench.kv.speed_memory import resident_bytes
from egrl.bench.settings import Settings, processor
from graph_ir.decoder.decoder import Decoder

PART = "speed"
ROUNDS = 31
ROUNDS_WHOLE = 11
ROUNDS_PROMPT = 3
WHOLE = "SmolLM2"
WHOLE_CONTEXTS = (1024, 8192)
PROMPT = 2048
PROMPT_CASE = f"{WHOLE}, prompt of {PROMPT:,}"
PRUNED = "pruned"
GOAL_FASTER, GOAL_CONTEXT = 4.0, 32768
GOAL_SLOWER, GOAL_SHORT = 0.95, 1024
GOAL_PROMPT = 0.9


def measure(settings: Settings, book: Book) -> None:
    """Measure the cases of which a row is missing."""
    for index, shape in enumerate(SHAPES):
        for context in shape.contexts:
            case = f"{shape.name}, {context:,}"
            if _is_wanted(settings, book, case, shape.name, tuple(VARIANTS)):
                _decoding(book, case, layer_decoder(shape), context, ROUNDS, index)
    wanted = [
        context
        for context in WHOLE_CONTEXTS
        if _is_wanted(settings, book, f"{WHOLE}, {context:,}", WHOLE, tuple(VARIANTS))
    ]
    prompt = _is_wanted(settings, book, PROMPT_CASE, WHOLE, (REFERENCE, PRUNED))
    if not wanted and not prompt:
        return
    decoder = whole_decoder(settings.folder)
    for context in wanted:
        _decoding(book, f"{WHOLE}, {context:,}", decoder, context, ROUNDS_WHOLE, None)
    if prompt:
        _prompt(book, decoder)


def _is_wanted(
    settings: Settings, book: Book, case: str, subject: str, variants: tuple[str, ...]
) -> bool:
    missing = any(measured(book.rows(), PART, case, variant) is None for variant in variants)
    return settings.wants_model(subject) and (missing or settings.again)


def _decoding(
    book: Book, case: str, decoder: Decoder, context: int, rounds: int, shape: int | None
) -> None:
    """Rows of a token at the end of a context."""
    runs: dict[str, Callable[[], object]] = {}
    bounds: dict[str, Bound] = {}
    layouts = {variant: layout_of(decoder, variant, context) for variant in VARIANTS}
    # Two sessions of the same graph differ by more than some variants do.
    timed_as = {
        variant: next(first for first, other in layouts.items() if other == layout)
        for variant, layout in layouts.items()
    }
    with tempfile.TemporaryDirectory() as scratch:
        for at, variant in enumerate(dict.fromkeys(timed_as.values())):
            folder = Path(scratch) / str(at)
            folder.mkdir()
            bounds[variant] = Bound(decoder, layouts[variant], 1, folder)
            runs[variant] = bounds[variant].at(context - 1)
        timed = interleaved(runs, rounds).seconds_R
    layers = 1 if shape is None else LAYERS
    seconds = {variant: timed[first] / layers for variant, first in timed_as.items()}
    cache_bytes = {variant: bounds[first].cache_bytes for variant, first in timed_as.items()}
    for variant, row in _rows(case, seconds).items():
        row.metrics["cache_bytes"] = float(cache_bytes[variant]) / layers
        if shape is not None:
            row.metrics["resident_bytes"] = float(resident_bytes(shape, context, variant))
        _add(book, row)


def _prompt(book: Book, decoder: Decoder) -> None:
    """Rows of a whole prompt: the sum of its chunks, each timed in turn by the variants."""
    names = (REFERENCE, PRUNED)
    totals = {name: np.zeros(ROUNDS_PROMPT) for name in names}
    with tempfile.TemporaryDirectory() as scratch:
        bounds = {}
        for name in names:
            folder = Path(scratch) / name
            folder.mkdir()
            bounds[name] = Bound(decoder, layout_of(decoder, name, PROMPT), CHUNK, folder)
        for start in range(0, PROMPT, CHUNK):
            runs = {name: bound.at(start) for name, bound in bounds.items()}
            for name, seconds in interleaved(runs, ROUNDS_PROMPT).seconds_R.items():
                totals[name] += seconds
    for row in _rows(PROMPT_CASE, totals).values():
        _add(book, row)


def _rows(
    case: str, seconds_R: Mapping[str, np.ndarray[tuple[int], np.dtype[np.float64]]]
) -> dict[str, Row]:
    rows = {}
    for name, seconds in seconds_R.items():
        metrics = {
            "ms": float(1e3 * np.median(seconds)),
            "ratio": float(np.median(seconds_R[REFERENCE] / seconds)),
            "rounds": float(len(seconds)),
        }
        spent = float(seconds.sum())
        rows[name] = Row(PART, case, name, metrics, seconds=spent, machine=processor())
    return rows


def _add(book: Book, row: Row) -> None:
    book.add(row)
    print(f"{row.key}: {row.metrics['ms']:.3f} ms, {row.metrics['ratio']:.2f} x full", flush=True)


def section(rows: Rows) -> list[str]:
    """Markdown."""
    lines = [
        "One thread, everything in place, the form for onnxruntime; medians of interleaved "
        "runs, *times full* the median of paired ratios (above 1 is faster). Pruned: one KV "
        f"head keeps everything (of SmolLM2 in every other layer), the others {SINKS} sinks, a "
        f"ring of {WINDOW} and compensation; at a context of {WINDOW:,} that drops nothing, and "
        "the compiler makes full caches of it (what is the same graph was timed once). A layer "
        f"is one of {LAYERS} equal ones with random rows, which share what a step computes once;"
        " contexts beyond 8,192 of SmolLM2's shape mean something for speed alone. *Resident* "
        "is of a process that decodes with all layers, seen from outside.",
        "",
        *_goals(rows),
        "",
    ]
    cells = []
    for case in _cases(rows):
        for variant in VARIANTS:
            row = measured(rows, PART, case, variant)
            if row is None:
                continue
            got = row.metrics
            cells.append(
                [
                    case,
                    variant,
                    f"{got['ms']:.3f}",
                    f"{got['ratio']:.2f}",
                    f"{got['cache_bytes'] / 2**20:.1f}" if "cache_bytes" in got else "-",
                    f"{got['resident_bytes'] / 2**20:.0f}" if "resident_bytes" in got else "-",
                ]
            )
    header = ("what", "caches", "ms", "times full", "caches, MiB", "resident, MiB")
    return [*lines, *table(header, cells), ""]


def _cases(rows: Rows) -> list[str]:
    known = [f"{shape.name}, {context:,}" for shape in SHAPES for context in shape.contexts]
    known += [*(f"{WHOLE}, {context:,}" for context in WHOLE_CONTEXTS), PROMPT_CASE]
    measured_cases = {row.case for row in rows.values() if row.part == PART}
    return [case for case in known if case in measured_cases]


def _goals(rows: Rows) -> list[str]:
    long = f"{SHAPES[0].name}, {GOAL_CONTEXT:,}"
    short = [f"{shape.name}, {GOAL_SHORT:,}" for shape in SHAPES]
    short.append(f"{WHOLE}, {GOAL_SHORT:,}")
    return [
        _goal(rows, [long], GOAL_FASTER, f"at least {GOAL_FASTER:g} times the full cache at 32k"),
        _goal(rows, short, GOAL_SLOWER, "never more than 5 % slower at 1k"),
        _goal(rows, [PROMPT_CASE], GOAL_PROMPT, "a prompt's throughput within 10 % of the full's"),
    ]


def _goal(rows: Rows, cases: list[str], least: float, text: str) -> str:
    found = [measured(rows, PART, case, PRUNED) for case in cases]
    ratios = [row.metrics["ratio"] for row in found if row is not None]
    if len(ratios) < len(cases):
        return f"- Pruned {text}: **not measured**."
    word = "met" if min(ratios) >= least else "short"
    return f"- Pruned {text}: **{word}**, {min(ratios):.2f} times."
