"""Exactness: the pruned operator against a float64 twin, and against the full cache.

A prompt is read in chunks, then tokens one by one, with everything in place; every row's outputs
are compared.
"""

import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from egrl.bench.kv.document_table import table
from egrl.bench.kv.exactness_model import attention_decoder, draw_tables
from egrl.bench.kv.exactness_steps import Steps
from egrl.bench.kv.exactness_twin import Twin
from egrl.bench.kv.rows import Book, Row, Rows, measured
from egrl.bench.settings import Settings, processor
from graph_ir.decoder.decoder import Attention
from graph_ir.errors import InputError
from graph_ir.kv.layout import HeadGroup, KvLayout, full_layout
from graph_ir.kv.step import Form

PART = "exactness"
GOAL = 1e-5
FORMS: tuple[Form, ...] = ("standard", "onnxruntime")
TOKENS, PROMPT, DECODED, CHUNK = 101, 200, 1200, 64
TOTAL = PROMPT + DECODED
WINDOW, SINKS = 96, 4
_WIDTH = 64
_SEED = 1


@dataclass(frozen=True, slots=True)
class Case:
    """A row: heads of queries, and which KV heads keep everything; the others are pruned."""

    name: str
    query_heads: int
    kv_heads: int
    full: tuple[int, ...]

    def attention(self) -> Attention:
        """The attention, rotated keys taken as given."""
        return Attention(
            "attention", self.query_heads, self.kv_heads, _WIDTH, _WIDTH, float(_WIDTH**-0.5)
        )

    def layout(self, window: int) -> KvLayout:
        """Full heads beside compensated ones."""
        rest = tuple(head for head in range(self.kv_heads) if head not in self.full)
        groups = [HeadGroup(self.full)] if self.full else []
        return KvLayout(TOTAL, ((*groups, HeadGroup(rest, window, SINKS, True)),))


CASES = (
    Case("grouped, 8 query heads, 4 KV heads", 8, 4, (2,)),
    Case("multi-query, 8 query heads, 1 KV head", 8, 1, ()),
    Case("multi-head, 4 heads", 4, 4, (1,)),
)


def measure(settings: Settings, book: Book) -> None:
    """Measure the rows that are missing or failed.

    Raises:
        InputError: a case or form that there is not.
    """
    for flag, asked, expected in (
        ("--model", settings.models, [case.name for case in CASES]),
        ("--method", settings.methods, list(FORMS)),
    ):
        strange = [name for name in asked if name not in expected]
        if strange:
            raise InputError(f"{flag} {strange[0]}: expected one of {'; '.join(expected)}")
    for case in CASES:
        for form in FORMS:
            there = measured(book.rows(), PART, case.name, form) is not None
            wanted = settings.wants_model(case.name) and settings.wants_method(form)
            if wanted and (settings.again or not there):
                row = measure_case(case, form)
                book.add(row)
                print(f"{row.key}: {row.metrics['error']:.2e}", flush=True)


def measure_case(case: Case, form: Form) -> Row:
    """One row."""
    began = time.process_time()
    attention = case.attention()
    tables = draw_tables(attention, TOKENS)
    decoder = attention_decoder(attention, tables)
    ids = np.random.default_rng(_SEED).integers(0, TOKENS, TOTAL)
    layout = case.layout(WINDOW)
    got = Steps(decoder, layout, CHUNK, form).outputs(ids, PROMPT)
    twin = Twin(attention, layout.layers[0])
    want: list[NDArray[np.float64]] = []
    for start in range(0, PROMPT, CHUNK):
        part = ids[start : min(start + CHUNK, PROMPT)]
        want += [*twin.chunk(tables.query[part], tables.key[part], tables.value[part])]
    for token in ids[PROMPT:]:
        want.append(twin.decode(tables.query[token], tables.key[token], tables.value[token]))
    roomy, full = (
        Steps(decoder, kept, CHUNK, form).outputs(ids, PROMPT)
        for kept in (case.layout(TOTAL), full_layout(TOTAL, (case.kv_heads,)))
    )
    metrics = {
        "error": float(np.abs(got - np.array(want).reshape(TOTAL, -1)).max()),
        "from full": float(np.abs(roomy - full).max()),
        "decoded": float(DECODED),
        "dropped": float(TOTAL - WINDOW - SINKS),
    }
    seconds = time.process_time() - began
    return Row(PART, case.name, form, metrics, seconds=seconds, machine=processor())


def section(rows: Rows) -> list[str]:
    """Markdown."""
    found = [
        (case, form, row)
        for case in CASES
        for form in FORMS
        if (row := measured(rows, PART, case.name, form)) is not None
    ]
    worst = max((row.metrics["error"] for _, _, row in found), default=0.0)
    word = "met" if worst <= GOAL and len(found) == len(CASES) * len(FORMS) else "short"
    cells = [
        [
            case.name,
            form,
            f"{row.metrics['decoded']:.0f}",
            f"{row.metrics['dropped']:.0f}",
            f"{row.metrics['error']:.1e}",
            f"{row.metrics['from full']:.1e}",
        ]
        for case, form, row in found
    ]
    header = ("heads", "form", "decoded", "dropped", "from float64", "nothing dropped, from full")
    return [
        f"Largest absolute difference of what heads of width {_WIDTH} attended to, from a float64 "
        f"twin, over a prompt of {PROMPT} tokens in chunks of {CHUNK} and {DECODED:,} decoded ones "
        f"with a ring of {WINDOW}, {SINKS} sinks and compensation; one KV head keeps everything "
        "where there are several. Caches are float32, bound in place. The last column has rings "
        "that hold everything.",
        "",
        f"- At most {GOAL:g} absolute: **{word}**, {worst:.1e}.",
        "",
        *table(header, cells),
        "",
    ]
