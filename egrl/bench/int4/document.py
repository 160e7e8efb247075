"""The document of `egrl bench int4`, from the rows alone."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from egrl.bench.int4 import goals, speed_decoder
from egrl.bench.int4.methods import METHODS, OF_SUBJECT, REFERENCE
from egrl.bench.int4.quality import PART as QUALITY
from egrl.bench.int4.rows import Row, Rows, row_key
from egrl.bench.int4.speed import PART as SPEED
from egrl.bench.int4.speed_cases import BATCHES, END_TO_END, SHAPES, VARIANTS, layer_name
from egrl.bench.int4.subjects import SUBJECTS, Subject
from egrl.bench.int4.texts import JUDGED
from egrl.bench.machine import machine_line

_INTRODUCTION = (
    "Written by `egrl bench int4` (after `scripts/models`); every measurement is a line of "
    "`int4.json`. All methods get the same file: static shapes, simplified, products as MatMul. "
    "Each compresses it in a process of its own, whose memory is measured from outside; seconds "
    "are from reading the file to its being written. Bits are those that the file spends on a "
    "quantized weight: integers, scales, zero points, outliers, low-rank factors and whatever "
    "constant it has that the source has not. Models are executed by onnxruntime with int8 "
    "activations inside fused products (accuracy level 4), as artifacts are."
)
_WHY_NOT_15 = (
    "MKQ-BERT reports 5.3 times fewer bits, and one int4 layer 15 times as fast as fp32 on a GPU "
    "(arXiv 2203.13483), whose matrix units multiply 4-bit integers at a rate of their own. This "
    "processor has no product of 4-bit integers: they are widened to bytes first, so that int4 "
    "saves what is read from memory, which counts where M is small, and costs the widening, which "
    "counts where M is large. There bytes are the faster choice, and the compiler's."
)
_QUALITY_NOTES: dict[str, str] = {
    "smollm2-rotated": (
        "The goal row. Its residual stream is rotated by a seeded orthogonal matrix, the norms "
        "folded: the function is the shipped model's, but the weights lie on no grid. *Change* is "
        "of perplexity against fp32; KL is the mean divergence from fp32's predictions in nats; "
        "*top-1* is the share of positions whose most likely token is another. Calibrated methods "
        "see 16 windows of docstrings and product reviews, neither of which is judged on."
    ),
    "smollm2": (
        "Its weights were shipped on a 4-bit grid of their own (blocks of 32, real offsets), so "
        "whoever comes close to that grid again loses less than on other models, which this table "
        "says little about."
    ),
    "minilm": (
        "Movie-review snippets, 2,000 held out by seed, the classifier folded into the graph. "
        "*Change* is in points of accuracy, with a paired bootstrap interval."
    ),
    "efficientnet-lite0": (
        "Nearly all of it is convolutions, which onnxruntime multiplies as bytes or not at all: "
        "the int4 rows compress its classifier alone, the int8 rows all of it. There are no "
        "labelled photographs: agreement with fp32 on 240 crops."
    ),
    "ppocr-rec": "200 rendered, blurred and noisy words; an answer has to be exact.",
    "magika": "Files of this Python installation, by their endings; the set differs by machine.",
}


def write_document(rows: Rows, out: Path) -> None:
    """Write the document."""
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text("\n".join(document_lines(rows)) + "\n", "utf-8")


def document_lines(rows: Rows) -> list[str]:
    """The Markdown."""
    lines = ["# Int4: quality, cost and speed", "", _INTRODUCTION, ""]
    machines = sorted({row.machine for row in rows.values() if row.machine})
    lines += [f"Measured on: {'; '.join(machines)}. Written on: {machine_line()}.", ""]
    lines += goals.section(rows)
    lines += ["## Quality", ""]
    for name, subject in SUBJECTS.items():
        lines += _quality(rows, name, subject)
    lines += _speed(rows)
    while lines and not lines[-1]:
        lines.pop()
    return lines


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A Markdown table."""
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    return lines + ["| " + " | ".join(row) + " |" for row in rows]


def _quality(rows: Rows, name: str, subject: Subject) -> list[str]:
    lines = [f"### {subject.title}", "", _QUALITY_NOTES[name], ""]
    exact = goals.measured(rows, name, REFERENCE)
    names = [n for n in OF_SUBJECT[name] if goals.measured(rows, name, n) is not None]
    if exact is None or not names:
        return [*lines, "Not measured.", ""]
    is_text = f"{JUDGED[0]} perplexity" in exact.metrics
    header = _TEXT_HEADER if is_text else _TASK_HEADER
    found = [exact, *(rows[row_key(QUALITY, name, n)] for n in names)]
    cells = _text_cells if is_text else _task_cells
    lines += table((*header, *_COST_HEADER), [[*cells(r, exact), *_cost_cells(r)] for r in found])
    return [*lines, "", *_missing(rows, name)]


_TEXT_HEADER = ("method", "data", *(
    f"{text} {what}" for text in JUDGED for what in ("perplexity", "change", "KL", "top-1")
))  # fmt: skip
_TASK_HEADER = ("method", "data", "accuracy", "change", "agreement", "cosine or error")
_COST_HEADER = ("bits", "file MB", "seconds", "peak MB")


def _named(row: Row) -> list[str]:
    method = METHODS.get(row.method)
    if method is None:
        return [row.method, ""]
    return [f"`{row.method}`", "yes" if method.calibrated else "no"]


def _text_cells(row: Row, exact: Row) -> list[str]:
    cells = _named(row)
    for text in JUDGED:
        change = f"{100 * goals.loss(row, exact, text):+.1f} %"
        cells += [
            f"{row.metrics[f'{text} perplexity']:.3f}",
            "" if row.method == REFERENCE else change,
            f"{row.metrics[f'{text} divergence']:.4f}",
            f"{100 * row.metrics[f'{text} changed']:.1f} %",
        ]
    return cells


def _task_cells(row: Row, exact: Row) -> list[str]:
    metrics = row.metrics
    accuracy = f"{100 * metrics['accuracy']:.2f} %" if "accuracy" in metrics else ""
    change = ""
    if "change" in row.intervals and row.method != REFERENCE:
        low, high = row.intervals["change"]
        change = f"{100 * metrics['change']:+.2f} ({100 * low:+.2f} to {100 * high:+.2f})"
    last = ""
    if "cosine" in metrics:
        last = f"{metrics['cosine']:.4f}"
    elif "error" in metrics:
        last = f"{metrics['error']:.4f}"
    return [*_named(row), accuracy, change, f"{100 * metrics['agreement']:.2f} %", last]


def _cost_cells(row: Row) -> list[str]:
    if row.method == REFERENCE:
        return ["32", f"{row.file_bytes / 1e6:.1f}", "", ""]
    return [
        f"{row.bits:.2f}",
        f"{row.file_bytes / 1e6:.1f}",
        f"{row.seconds:.1f}",
        f"{row.peak_bytes / 1e6:.0f}",
    ]


def _missing(rows: Rows, name: str) -> list[str]:
    """Methods without a measurement, with the reason where there is one."""
    failed, absent = [], []
    for method in OF_SUBJECT[name]:
        row = rows.get(row_key(QUALITY, name, method))
        if row is None:
            absent.append(f"`{method}`")
        elif row.failed:
            failed.append(f"- `{method}` failed: {row.failed}")
    lines = [*failed, ""] if failed else []
    return [*lines, f"Missing: {', '.join(absent)}.", ""] if absent else lines


def _speed(rows: Rows) -> list[str]:
    lines = [
        "## Speed",
        "",
        "Of what onnxruntime executes here with one thread: median time of the calling thread, "
        "variants in turn, and the median over rounds of fp32's time over the variant's in the "
        "same round, with a 95 % bootstrap interval. Single products are timed again and again, so "
        "their weights are in the caches where they fit; in a whole model they are not.",
        "",
        _WHY_NOT_15,
        "",
        "### Whole models",
        "",
        "SmolLM2 decodes one token behind a cache of 1,024 positions that is updated in place: "
        "`smollm2-decode` is the graph as it came, `smollm2, compiled` what `egrl compile "
        "--decode` makes of it, whose attention is onnxruntime's fused operator in all variants.",
        "",
    ]
    header = ("model", "variant", "ms", "times fp32")
    names = (*END_TO_END, *speed_decoder.NAMES)
    lines += table(header, [c for name in names for c in _end_to_end(rows, name)])
    lines += ["", "### Single products", "", "Times fp32.", ""]
    header_products = ("K x N, M", "fp32 ms", *(f"`{variant}`" for variant in VARIANTS))
    products = [
        _product(rows, layer_name(inner, columns, batch))
        for inner, columns in SHAPES
        for batch in BATCHES
    ]
    lines += table(header_products, [product for product in products if product])
    failed = {
        f"- `{row.method}` failed on {row.model}: {row.failed}"
        for row in rows.values()
        if row.part == SPEED and row.failed
    }
    return [*lines, "", *sorted(failed), ""]


def _end_to_end(rows: Rows, name: str) -> list[list[str]]:
    cells = []
    for variant in (REFERENCE, speed_decoder.AS_EXPORTED, *VARIANTS):
        row = rows.get(row_key(SPEED, name, variant))
        if row is None or row.failed:
            continue
        low, high = row.intervals["ratio"]
        ratio = f"{row.metrics['ratio']:.2f} ({low:.2f} to {high:.2f})"
        shown = "" if variant == REFERENCE else ratio
        cells.append([name, f"`{variant}`", f"{row.metrics['ms']:.2f}", shown])
    return cells


def _product(rows: Rows, name: str) -> list[str]:
    exact = rows.get(row_key(SPEED, name, REFERENCE))
    if exact is None:
        return []
    cells = [name, f"{exact.metrics['ms']:.3f}"]
    for variant in VARIANTS:
        row = rows.get(row_key(SPEED, name, variant))
        known = row is not None and not row.failed
        cells.append(f"{row.metrics['ratio']:.2f}" if row is not None and known else "")
    return cells
