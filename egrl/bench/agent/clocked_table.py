"""The sections on experiments 2 and 4, whose runs end by the clock."""

from collections.abc import Sequence

from egrl.bench.agent.cases import TIME_CASES
from egrl.bench.agent.equal_time import TIMES_S
from egrl.bench.agent.methods import Part, of_part
from egrl.bench.agent.open_problems import OPEN_CASES, OPEN_GAP, is_open
from egrl.bench.agent.open_problems import TIMES_S as OPEN_TIMES_S
from egrl.bench.agent.rows import Rows
from egrl.bench.agent.scores import Scores, scores_of
from egrl.bench.agent.settings import SEEDS
from egrl.bench.agent.text import (
    interval_text,
    machines_text,
    missing_text,
    percent,
    seconds_name,
    table,
)

TIME_NAMES = tuple(case.name for case in TIME_CASES)
OPEN_NAMES = tuple(case.name for case in OPEN_CASES)


def open_names(rows: Rows) -> tuple[str, ...]:
    """The problems of experiment 4 that are not known to be closed."""
    return tuple(name for name in OPEN_NAMES if is_open(rows, name))


def open_times(rows: Rows) -> tuple[float, ...]:
    """Times at which the open problems are compared: the fixed ones and that of the runs."""
    longest = max((run.budget for run in rows.runs.values() if run.part == "open"), default=60.0)
    return (*(time_s for time_s in OPEN_TIMES_S if time_s < longest), longest)


def time_section(rows: Rows, pictures: set[str]) -> list[str]:
    """Markdown of experiment 2."""
    lines = [
        "## 2. Equal wall time",
        "",
        "What every method holds after so long, counted from the call, libraries and compiled code "
        "loaded by a short run before. A search runs once, and what it holds at each time counts; "
        "`auto` and `exact` plan by the time, and run once for each. Interquartile mean, over "
        f"{len(TIME_NAMES)} problems and {SEEDS['time']} seeds, of latency over best known, less "
        "1, in percent, with 95 % intervals (stratified bootstrap, after Agarwal et al., NeurIPS "
        "2021); *none* where more than a quarter of the runs hold nothing yet. Constructive "
        "methods and `exact` have no seeds.",
        "",
        *_body(rows, "time", TIME_NAMES, TIMES_S),
    ]
    return lines + _pictures(["time.svg"], pictures)


def open_section(rows: Rows, pictures: set[str]) -> list[str]:
    """Markdown of experiment 4."""
    times_s = open_times(rows)
    cells = []
    for name in OPEN_NAMES:
        reference = rows.references.get(name)
        if reference is None:
            cells.append([name, "not measured yet", *[""] * 7])
            continue
        best_s = scores_of(rows, "open").best(name)
        cells.append(
            [
                name,
                f"{reference.ops:,}",
                f"{reference.tensors:,}",
                f"{reference.native_s * 1e6:.1f}",
                f"{best_s * 1e6:.1f}",
                f"{reference.bound_s * 1e6:.1f}",
                percent(reference.exact_gap) if reference.exact_bound_s > 0 else "no program",
                percent(best_s / reference.bound_s - 1.0),
                "yes" if is_open(rows, name) else "no",
            ]
        )
    header = [
        "problem", "ops", "tensors", "native, us", "best known, us", "bound, us", "`exact`'s gap",
        "best known's gap", "open",
    ]  # fmt: skip
    lines = [
        "## 4. Problems that the solver leaves open",
        "",
        "Generated graphs (`egrl/generator/named.py`). *`exact`'s gap*: what the solver left "
        "between its placement and its bound after the time of the reference run (a minute unless "
        f"told otherwise); problems on which it is at most {100 * OPEN_GAP:g} % are closed, and "
        "left out of the comparison, in which all methods get the same wall time.",
        "",
        *table(header, cells),
        "",
        "Interquartile mean of latency over best known, less 1, in percent, with 95 % intervals.",
        "",
        *_body(rows, "open", open_names(rows), times_s),
    ]
    return lines + _pictures(["open.svg"], pictures)


def _body(rows: Rows, part: Part, names: Sequence[str], times_s: Sequence[float]) -> list[str]:
    methods = of_part(part, [])
    scores = scores_of(rows, part)
    cells = [_row(scores, method, names, times_s) for method in methods]
    header = ["method", "problems", "runs", *(seconds_name(time_s) for time_s in times_s)]
    return [
        missing_text(scores, names, methods, SEEDS[part], times_s[-1]),
        "",
        machines_text(rows, part),
        "",
        *table(header, cells),
        "",
    ]


def _row(scores: Scores, method: str, names: Sequence[str], times_s: Sequence[float]) -> list[str]:
    # A run that was given less than the longest time says what it held until then.
    with_runs = scores.common(names, [method], times_s[0])
    runs = sum(len(scores.of(name, method, times_s[0])) for name in with_runs)
    pooled = [
        scores.pooled(scores.common(names, [method], time_s), method, time_s) for time_s in times_s
    ]
    return [
        method,
        f"{len(with_runs)} of {len(names)}",
        str(runs),
        *(interval_text(found) for found in pooled),
    ]


def _pictures(names: Sequence[str], drawn: set[str]) -> list[str]:
    lines = []
    for name in names:
        if name in drawn:
            lines += [f"![Gap over time](agent/{name})", ""]
    return lines
