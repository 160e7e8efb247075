"""The section on experiment 3."""

from collections.abc import Sequence

from egrl.bench.agent.cases import UNKNOWN_CASES
from egrl.bench.agent.methods import of_part
from egrl.bench.agent.real_table import real_section
from egrl.bench.agent.rows import Rows
from egrl.bench.agent.scores import Scores, scores_of
from egrl.bench.agent.settings import SEEDS
from egrl.bench.agent.text import interval_text, machines_text, missing_text, percent, table
from egrl.bench.agent.unknown import COUNTS, DETAILED, EVALUATIONS, PART, TRUTHS, is_planner

GROUPS: dict[str, tuple[str, ...]] = {
    DETAILED: (DETAILED,),
    "the perturbed engines": tuple(truth for truth in TRUTHS if truth != DETAILED),
}


def names_of(truths: Sequence[str]) -> tuple[str, ...]:
    """Problems with these machines."""
    return tuple(f"{case.name} by {truth}" for truth in truths for case in UNKNOWN_CASES)


def section(rows: Rows, pictures: set[str]) -> list[str]:
    """Markdown."""
    scores = scores_of(rows, PART)
    methods = of_part(PART, [])
    lines = [
        "## 3. The unknown machine",
        "",
        "Solvers see only the engine; what counts is another machine, and every look at it counts. "
        "The machine is the detailed model, or the engine whose cost table a hidden seed has "
        f"perturbed: {'; '.join(TRUTHS[1:])}. `exact` and `auto` plan on the engine, and their "
        "plan is measured once. `local-search` begins with the exact plan and measures every "
        "step; `random-key` begins with it too. Interquartile mean of latency over the best that "
        "anything found on that machine, less 1, in percent, after so many measurements, with "
        "95 % intervals.",
        "",
        missing_text(scores, names_of(TRUTHS), methods, SEEDS[PART], EVALUATIONS),
        "",
        machines_text(rows, PART),
        "",
    ]
    for group, truths in GROUPS.items():
        names = names_of(truths)
        cells = [_row(scores, method, names) for method in methods]
        lines += [f"### By {group}", ""]
        lines += table(["method", "problems", "runs", *(f"{n:,}" for n in COUNTS)], cells)
        lines.append("")
    if "unknown.svg" in pictures:
        lines += ["![Gap over measurements](agent/unknown.svg)", ""]
    lines += ["What the engine's optimum costs on each machine, above the best known there:", ""]
    for name in names_of(TRUTHS):
        found = scores.of(name, "exact", 1)
        lines.append(f"- {name}: {percent(found[0]) if found else 'not measured yet'}")
    return [*lines, "", *real_section(rows)]


def _row(scores: Scores, method: str, names: Sequence[str]) -> list[str]:
    at = 1 if is_planner(method) else min(COUNTS)
    with_runs = scores.common(names, [method], at)
    runs = sum(len(scores.of(name, method, at)) for name in with_runs)
    return [
        method,
        f"{len(with_runs)} of {len(names)}",
        str(runs),
        *(interval_text(scores.pooled(with_runs, method, count)) for count in COUNTS),
    ]
