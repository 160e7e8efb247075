"""Which goals of quality are met: computed from the rows, never written by hand."""

import numpy as np

from egrl.bench.int4.texts import JUDGED
from egrl.bench.kv.facts import DEPTHS
from egrl.bench.kv.quality_methods import (
    BOTH,
    CASES,
    PART,
    PRUNED,
    REFERENCE,
    Case,
)
from egrl.bench.kv.rows import Row, Rows, measured

MOST_LOSS = 0.02
MOST_FACTS_LOST = 0.05
LEAST_FOUND = 0.8


def valid_depths(reference: Row) -> list[int]:
    """Depths at which the full cache finds at least 80 % of the facts."""
    by_depth_D = np.array(reference.samples["found"]).reshape(-1, DEPTHS).mean(axis=0)
    return [depth for depth in range(DEPTHS) if by_depth_D[depth] >= LEAST_FOUND]


def worst_loss(row: Row, reference: Row) -> float:
    """Relative change of perplexity, on the text where it is worse."""
    return max(
        row.metrics[f"{text} perplexity"] / reference.metrics[f"{text} perplexity"] - 1
        for text in JUDGED
    )


def facts_lost(row: Row, reference: Row) -> float | None:
    """Share of facts fewer than the full cache finds, at valid depths; None where all are void."""
    valid = valid_depths(reference)
    if not valid:
        return None
    kept, exact = (
        float(np.array(found).reshape(-1, DEPTHS)[:, valid].mean())
        for found in (row.samples["found"], reference.samples["found"])
    )
    return exact - kept


def goals(rows: Rows) -> list[str]:
    """A line for each goal and context."""
    contexts = sorted({row.case for row in rows.values() if row.part == PART}, key=int)
    lines = []
    for context in contexts:
        reference = measured(rows, PART, context, REFERENCE)
        if reference is None:
            continue
        for table in (PRUNED, BOTH):
            lines.append(_within(rows, context, reference, table))
            lines.append(_best(rows, context, reference, table))
    return lines


def _found(rows: Rows, context: str, table: str, peer: bool | None) -> list[tuple[Case, Row]]:
    return [
        (case, row)
        for case in CASES
        if case.table == table and peer in (None, case.peer)
        if (row := measured(rows, PART, context, case.name)) is not None
    ]


def _within(rows: Rows, context: str, reference: Row, table: str) -> str:
    with_facts = table == PRUNED
    goal = f"- {int(context):,} tokens, {table}: perplexity within {100 * MOST_LOSS:g} %"
    if with_facts:
        goal += f", facts within {100 * MOST_FACTS_LOST:g} points"
    ours = _found(rows, context, table, False)
    if not ours:
        return f"{goal}: **not measured**."
    case, row = min(ours, key=lambda pair: (worst_loss(pair[1], reference), pair[0].name))
    loss, lost = worst_loss(row, reference), facts_lost(row, reference)
    met = loss <= MOST_LOSS and (not with_facts or lost is None or lost <= MOST_FACTS_LOST)
    facts = "facts void" if lost is None else f"{100 * -lost:+.0f} points of facts"
    word = "met" if met else "short"
    return f"{goal}: **{word}**. {case.name}: {100 * loss:+.1f} % on the worse text, {facts}."


def _best(rows: Rows, context: str, reference: Row, table: str) -> str:
    goal = f"- {int(context):,} tokens, {table}: best of all methods in perplexity"
    found = _found(rows, context, table, None)
    ours = [pair for pair in found if not pair[0].peer]
    if not ours or len(found) == len(ours):
        return f"{goal}: **not measured**."
    ranked = sorted(found, key=lambda pair: (worst_loss(pair[1], reference), pair[0].name))
    case, row = ranked[0]
    compared = len([case for case in CASES if case.table == table])
    # Nobody is the best of methods that were not compared.
    word = "short" if case.peer else ("met" if len(found) == compared else "open")
    loss = f"{100 * worst_loss(row, reference):+.1f} %"
    return (
        f"{goal}: **{word}**. The best of {len(found)} measured of {compared} is {case.name}, "
        f"{loss} on the worse text."
    )
