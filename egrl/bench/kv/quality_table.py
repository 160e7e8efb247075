"""The section on quality, from the rows alone."""

from egrl.bench.int4.texts import JUDGED
from egrl.bench.kv.document_table import table
from egrl.bench.kv.quality_goals import goals, valid_depths
from egrl.bench.kv.quality_methods import CASES, FLOAT_FACTOR, PART, REFERENCE, TABLES, Case
from egrl.bench.kv.rows import Row, Rows, measured, row_key

_HOW = (
    "SmolLM2-135M, its prompts read in chunks of up to 128 tokens through the compressed caches "
    "themselves, so that nothing behind the prompt and never more than a chunk beside the caches "
    "is seen. *Change* is of the perplexity of each text's last quarter against the full cache, "
    "*top-1* the share of its positions whose most likely token is the full cache's. *Facts* are "
    "numbers planted at ten depths, asked for after everything was compressed, over the depths "
    "at which the full cache finds 80 % of them; the others are void. What is pruned alone is "
    "executed with float32 entries, as this CPU is fastest with, and counted as float16 ones: as "
    "many positions are kept as those have room for. `fitted` measured its heads on 1,024 tokens "
    "of docstrings, followed by their pieces in another order, and in the row that says so on text "
    "that the model made up itself, as it does by default; the others saw no text. `duo` wants "
    "head patterns that were trained for a model, of which none are published for this one, and "
    "has no rows. `snapkv`, `adakv` and "
    "`expected-attention` keep all that follows a prompt, and the room for it counts: a quarter of "
    "the tokens here, so little is left for the prompt itself; where answers are short they have "
    "far more."
)
_HEADER = (
    "method", "bytes", *(
        f"{text} {what}" for text in JUDGED for what in ("perplexity", "change", "top-1")
    ), "facts",
)  # fmt: skip


def section(rows: Rows) -> list[str]:
    """Markdown."""
    lines = [_HOW, "", *goals(rows), ""]
    for context in contexts(rows):
        reference = measured(rows, PART, context, REFERENCE)
        if reference is None:
            continue
        lines += [f"### {int(context):,} tokens", "", _void(reference), ""]
        for title in TABLES:
            cases = [case for case in CASES if case.table == title]
            cells = [
                _cells(case, row, reference)
                for case in cases
                if (row := measured(rows, PART, context, case.name)) is not None
            ]
            lines += [f"{title}:", "", *(table(_HEADER, cells) if cells else []), ""]
            lines += _missing(rows, context, cases)
    return lines


def contexts(rows: Rows) -> list[str]:
    """Contexts that were measured."""
    return sorted({row.case for row in rows.values() if row.part == PART}, key=int)


def _void(reference: Row) -> str:
    valid = valid_depths(reference)
    depths = len(reference.samples["found"])
    if not valid:
        return "The full cache finds too few facts at every depth: facts are void."
    shown = ", ".join(f"{10 * depth + 5} %" for depth in range(10) if depth not in valid)
    return f"{depths} facts were asked for; " + (
        f"void at depths {shown}." if shown else "no depth is void."
    )


def _cells(case: Case, row: Row, reference: Row) -> list[str]:
    name = case.name if case.peer else f"**{case.name}**"
    cells = [name, f"{100 * counted_share(case, row):.1f} %"]
    for text in JUDGED:
        perplexity = row.metrics[f"{text} perplexity"]
        exact = reference.metrics[f"{text} perplexity"]
        agreement = row.metrics.get(f"{text} agreement", 1.0)
        cells += [
            f"{perplexity:.3f}",
            "" if case.name == REFERENCE else f"{100 * (perplexity / exact - 1):+.1f} %",
            f"{100 * agreement:.1f} %",
        ]
    return [*cells, facts_found(row, reference)]


def counted_share(case: Case, row: Row) -> float:
    """Bytes as a share of full float16 caches, float32 entries counted as float16 ones."""
    integers = "bits=8" in case.spec or "bits=4" in case.spec
    return row.metrics["share"] / (1 if integers else FLOAT_FACTOR)


def facts_found(row: Row, reference: Row) -> str:
    """How many of the facts at valid depths were found."""
    valid = valid_depths(reference)
    if not valid:
        return "void"
    answers = [a for i, a in enumerate(row.samples["found"]) if i % 10 in valid]
    return f"{int(sum(answers))} of {len(answers)}"


def _missing(rows: Rows, context: str, cases: list[Case]) -> list[str]:
    """Methods without a measurement, with the reason where there is one."""
    failed, absent = [], []
    for case in cases:
        row = rows.get(row_key(PART, context, case.name))
        if row is None:
            absent.append(case.name)
        elif row.failed:
            failed.append(f"- {case.name}: {row.failed}")
    lines = [*failed, ""] if failed else []
    return [*lines, f"Not measured: {', '.join(absent)}.", ""] if absent else lines
