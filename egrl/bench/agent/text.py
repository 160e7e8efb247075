"""Pieces of the document that all experiments share."""

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from egrl.bench.agent.methods import METHODS, is_seedless
from egrl.bench.agent.rows import Rows
from egrl.bench.agent.scores import Scores
from egrl.bench.agent.statistics import Interval


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A Markdown table."""
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    return lines + ["| " + " | ".join(row) + " |" for row in rows]


def percent(share: float) -> str:
    """A share in percent; a dash where there is no value."""
    return f"{100 * share:.2f} %" if np.isfinite(share) else "-"


def interval_text(found: Interval | None) -> str:
    """Estimate and interval in percent."""
    if found is None:
        return ""
    if not np.isfinite(found.low):
        return "none"
    if found.low == found.high:
        return _short(found.mid)
    return f"{_short(found.mid)} ({_short(found.low)} to {_short(found.high)})"


def _short(share: float) -> str:
    return f"{100 * share:.2f}" if np.isfinite(share) else "none"


def seconds_name(seconds: float) -> str:
    """A time as it stands in a header."""
    return f"{seconds:g} s" if seconds >= 1 else f"{1000 * seconds:g} ms"


def missing_text(
    scores: Scores, cases: Sequence[str], methods: Sequence[str], seeds: int, budget: float
) -> str:
    """Which runs the tables lack.

    Args:
        scores: of the experiment.
        cases: its problems.
        methods: its methods.
        seeds: of each method with seeds.
        budget: that a run must have been given.
    """
    lacking, part = [], scores.part
    for method in methods:
        kind = METHODS[method].kind
        wanted = 1 if is_seedless(method, part) else seeds
        least = 0.0 if kind in ("once", "timed", "solver") and part != "time" else budget
        there = sum(
            min(wanted, sum(run.budget >= least for run in scores.runs_of(case, method)))
            for case in cases
        )
        if there < wanted * len(cases):
            lacking.append(f"{method} ({wanted * len(cases) - there} of {wanted * len(cases)})")
    if not lacking:
        return "No run is missing."
    return f"Runs that are missing, by method: {', '.join(lacking)}."


def machines_text(rows: Rows, part: str) -> str:
    """On which machines the runs of an experiment were measured, and how many at a time."""
    runs = [run for run in rows.runs.values() if run.part == part]
    counts = Counter(run.machine or "a machine that is not recorded" for run in runs)
    named = [f"{name} ({count:,} runs)" for name, count in sorted(counts.items())]
    several = sum(run.jobs > 1 for run in runs)
    beside = f" {several:,} runs were measured while others ran at the same time." * (several > 0)
    return f"Measured on: {'; '.join(named) or 'nothing yet'}.{beside}"


def slug(name: str) -> str:
    """A name as a file name."""
    return "".join(c if c.isalnum() else "-" for c in name.lower()).strip("-")
