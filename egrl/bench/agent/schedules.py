"""The published agent's two schedules side by side: what they find in 4,000 evaluations, how soon.

The issue that asks for the second names the problem: BERT-base, in less than five minutes, with no
worse a result.
"""

from collections.abc import Iterator

import numpy as np

from egrl.bench.agent.cases import Case, chosen
from egrl.bench.agent.methods import Part, of_part
from egrl.bench.agent.protocol import EVALUATIONS, CountedTask, counted_tasks
from egrl.bench.agent.rows import Rows, Run
from egrl.bench.agent.scores import scores_of
from egrl.bench.agent.settings import SEEDS, Settings
from egrl.bench.agent.text import machines_text, missing_text, table

PART: Part = "schedules"
CASES: tuple[Case, ...] = (Case("bert-base", "fp16", "nnp-i"),)
LIMIT_S = 300.0

FAST, PUBLISHED = "egrl-paper", "egrl-paper-as-published"


def cases(settings: Settings) -> list[Case]:
    """The chosen problems."""
    return chosen(CASES, settings)


def tasks(settings: Settings) -> Iterator[CountedTask]:
    """All runs."""
    return counted_tasks(PART, cases(settings), settings)


def section(rows: Rows) -> list[str]:
    """Markdown."""
    scores = scores_of(rows, PART)
    names = [case.name for case in CASES]
    runs = {
        (name, method): [run for run in scores.runs_of(name, method) if run.budget >= EVALUATIONS]
        for name in names
        for method in of_part(PART, [])
    }
    lines = [
        "### The two schedules",
        "",
        f"`{FAST}` runs the `fast` schedule: every step begins with the empty map, its reward is "
        "the target, one pass of a network serves the batch, and a gradient step follows every "
        f"fifth evaluation. `{PUBLISHED}` runs the `paper` schedule with the same "
        "hyper-parameters: a step begins with the last map, the target looks on, and every "
        "evaluation earns a gradient step. One thread each.",
        "",
        missing_text(scores, names, of_part(PART, []), SEEDS[PART], EVALUATIONS),
        "",
        machines_text(rows, PART),
        "",
        *table(
            ["problem", "method", "runs", "speed-up", "seconds, median", "from", "to"],
            [[name, method, *_row(found)] for (name, method), found in runs.items()],
        ),
        "",
    ]
    for name in names:
        lines += [_verdict(name, runs[name, FAST], runs[name, PUBLISHED]), ""]
    return lines


def _row(runs: list[Run]) -> list[str]:
    if not runs:
        return ["0", *[""] * 4]
    seconds = [run.seconds for run in runs]
    speedups = _speedups(runs)
    spread = float(np.std(speedups, ddof=1)) if len(runs) > 1 else 0.0
    return [
        str(len(runs)),
        f"{np.mean(speedups):.3f} ± {spread:.3f}",
        f"{np.median(seconds):.0f}",
        f"{min(seconds):.0f}",
        f"{max(seconds):.0f}",
    ]


def _speedups(runs: list[Run]) -> list[float]:
    return [0.0 if run.latency_s is None else run.native_s / run.latency_s for run in runs]


def _verdict(name: str, fast: list[Run], published: list[Run]) -> str:
    """Whether `fast` is in time, and its mean result no worse."""
    if not fast or not published:
        return f"{name}: not compared yet."
    slowest_s = max(run.seconds for run in fast)
    ratio = np.median([run.seconds for run in published]) / np.median([r.seconds for r in fast])
    in_time = "met" if slowest_s < LIMIT_S else "**short**"
    no_worse = "met" if np.mean(_speedups(fast)) >= np.mean(_speedups(published)) else "**short**"
    return (
        f"{name}: `fast` in under {LIMIT_S:.0f} s: {in_time} (at most {slowest_s:.0f} s; the "
        f"`paper` schedule takes {ratio:.1f} times as long). A mean result no worse: {no_worse}."
    )
