"""The document of `egrl bench zero_shot`."""

from collections.abc import Callable

import msgspec
import numpy as np

from egrl.agents.egrl.folds import FOLDS
from egrl.bench.machine import machine_line
from egrl.bench.zero_shot_scale import Scale
from egrl.bench.zero_shot_start import Start, start_lines

MEDIAN_GOAL, WORST_GOAL = 0.01, 0.05
SECOND_GOAL = 1.0


class Row(msgspec.Struct, frozen=True):
    """One model on one target; latencies in seconds, None where nothing fitted.

    Attributes:
        model: name.
        target: name.
        fold: that it belongs to.
        ops: of the graph.
        tensors: of the graph.
        references_s: latency by reference.
        rule_s: the rule that the policy corrects.
        rule_samples_s: the best of samples around it, the control without training.
        fold_s: the policy of the fold, one decode.
        fold_first_s: the fastest of its decodes.
        fold_samples_s: and of samples around them.
        fold_full_s: with references and rule as well.
        shipped_s: the shipped policy, one decode.
        shipped_first_s: the fastest of its decodes.
        shipped_samples_s: and of samples around them.
        full_s: the shipped policy with samples, rule and references.
        searched_s: followed by local search, 2,000 evaluations in all.
        best_s: best known.
        bound_s: proven bound, or 0.
        auto_seconds: that `auto` was given.
        shot_seconds: wall time of the shipped policy's decode, decoder and features included.
    """

    model: str
    target: str
    fold: str
    ops: int
    tensors: int
    references_s: dict[str, float]
    rule_s: float | None
    rule_samples_s: float | None
    fold_s: float | None
    fold_first_s: float | None
    fold_samples_s: float | None
    fold_full_s: float
    shipped_s: float | None
    shipped_first_s: float | None
    shipped_samples_s: float | None
    full_s: float
    searched_s: float
    best_s: float
    bound_s: float
    auto_seconds: float
    shot_seconds: float


Column = Callable[[Row], float | None]

COLUMNS: dict[str, Column] = {
    "native": lambda row: row.references_s.get("native"),
    "acts-first": lambda row: row.references_s.get("acts-first"),
    "greedy": lambda row: row.references_s.get("greedy"),
    "rule": lambda row: row.rule_s,
    "rule, 64 samples": lambda row: row.rule_samples_s,
    "fold's policy": lambda row: row.fold_s,
    "five decodes": lambda row: row.fold_first_s,
    "and 64 samples": lambda row: row.fold_samples_s,
    "and references": lambda row: row.fold_full_s,
    "shipped policy": lambda row: row.shipped_s,
    "its five decodes": lambda row: row.shipped_first_s,
    "64 samples": lambda row: row.shipped_samples_s,
    "references": lambda row: row.full_s,
    "2,000 evaluations": lambda row: row.searched_s,
}


CONTROLS = {
    "fold's policy": "rule",
    "five decodes": "rule",
    "and references": "rule, 64 samples",
}
"""What goals are held against; a policy that learned nothing is the rule, and samples help both."""


def document(
    rows: list[Row], scale: list[Scale], refused: dict[str, str], starts: dict[str, Start]
) -> str:
    """The whole document."""
    order = {fold.name: position for position, fold in enumerate(FOLDS)}
    rows = sorted(rows, key=lambda row: (order[row.fold], row.model, row.target))
    lines = [
        "# Placing what was never seen",
        "",
        "Written by `egrl bench zero_shot`. A policy places each model at once, without search. "
        "The policy of a fold was trained without the families of its models and accelerators "
        "(`scripts/train_policy --fold NAME`); real models are in no training set. Gaps are to the "
        "best known latency, which is the best of `auto` "
        f"({_auto_seconds(rows)} s) and of all that is in the row.",
        "",
        f"Written on: {machine_line()}, one thread. Seed 0. Gaps do not depend on the "
        "machine; seconds of rows that were there already are of the machine that measured them.",
        "",
        "- `rule`: what the policy corrects; it decodes the best home of every tensor, the densest "
        "first, with no network. `fold's policy` and `shipped policy`: one decode, neither seeds "
        "nor fallback. `five decodes`: the fastest, by the engine, of decodes with all, three "
        "quarters, half, a quarter and nothing of the policy's correction of the rule.",
        "- `and 64 samples`: and of samples around these. `and references`: also of the rule, "
        "`native`, `acts-first`, `greedy` and everything outermost; this is what "
        "`--placer egrl` starts from.",
        "- `2,000 evaluations`: the same followed by local search.",
        "",
        "## All rows",
        "",
        "| gap | " + " | ".join(COLUMNS) + " |",
        "|---|" + "---|" * len(COLUMNS),
        _summary("median", rows, lambda gaps: float(np.median(gaps))),
        _summary("mean", rows, lambda gaps: float(np.mean(gaps))),
        _summary("90 %", rows, lambda gaps: float(np.quantile(gaps, 0.9))),
        _summary("worst", rows, lambda gaps: float(np.max(gaps))),
        "",
        *_goals(rows, scale),
        "",
    ]
    for fold in FOLDS:
        mine = [row for row in rows if row.fold == fold.name]
        lines += [
            f"## Fold `{fold.name}`",
            "",
            f"Never seen: {', '.join([*fold.families, *fold.groups])}.",
            "",
            "| model | target | ops | best known, us | " + " | ".join(COLUMNS) + " |",
            "|---|---|---|---|" + "---|" * len(COLUMNS),
            *(_row(row) for row in mine),
            "",
        ]
    if refused:
        lines += ["## Left out", ""]
        lines += [f"- {name}: {why}" for name, why in sorted(refused.items())]
        lines.append("")
    lines += start_lines(starts)
    lines += [
        "## Cost",
        "",
        "Processor time of one placement by the shipped policy (values of tensors, features, "
        "network, five decodes and their latencies), random graphs on `nnp-i`, median of five.",
        "",
        "| ops | tensors | s | us per op |",
        "|---|---|---|---|",
        *(
            f"| {one.ops} | {one.tensors} | {one.seconds:.3f} | {1e6 * one.seconds / one.ops:.0f} |"
            for one in scale
        ),
        "",
    ]
    return "\n".join(lines)


def _auto_seconds(rows: list[Row]) -> str:
    return ", ".join(f"{seconds:g}" for seconds in sorted({row.auto_seconds for row in rows}))


def _gaps(rows: list[Row], column: Column) -> list[float]:
    """Gaps to the best known; what fits nothing is left out and counted in the row's table."""
    found = [(column(row), row.best_s) for row in rows]
    return [seconds / best_s - 1.0 for seconds, best_s in found if seconds is not None]


def _summary(name: str, rows: list[Row], what: Callable[[list[float]], float]) -> str:
    cells = []
    for column in COLUMNS.values():
        gaps = _gaps(rows, column)
        cells.append(f"{100 * what(gaps):.2f} %" if gaps else "-")
    return f"| {name} | " + " | ".join(cells) + " |"


def _row(row: Row) -> str:
    cells = []
    for column in COLUMNS.values():
        seconds = column(row)
        cells.append("-" if seconds is None else f"{100 * (seconds / row.best_s - 1):.2f} %")
    start = f"| {row.model} | {row.target} | {row.ops} | {1e6 * row.best_s:.1f} | "
    return start + " | ".join(cells) + " |"


def _goals(rows: list[Row], scale: list[Scale]) -> list[str]:
    """Each goal, met or short, with the numbers."""
    lines = ["## Goals", ""]
    for name, control in CONTROLS.items():
        gaps = _gaps(rows, COLUMNS[name])
        missing = len(rows) - len(gaps)
        if not gaps:
            continue
        median, worst = float(np.median(gaps)), float(np.max(gaps))
        lines.append(
            f"- `{name}`: median gap {100 * median:.2f} % ({_met(median <= MEDIAN_GOAL)}: at most "
            f"1 %), worst {100 * worst:.2f} % ({_met(worst <= WORST_GOAL)}: at most 5 %), "
            f"{sum(gap <= WORST_GOAL for gap in gaps)} of {len(gaps)} within 5 %"
            + (f"; {missing} rows where nothing fitted." if missing else ".")
        )
        for other in ("acts-first", "native", control):
            slower, ties, faster = _against(rows, COLUMNS[name], COLUMNS[other])
            wanted = "never slower" if other == "native" else "faster more often than slower"
            met = slower == 0 if other == "native" else faster > slower
            lines.append(
                f"  - against `{other}` ({wanted}: {_met(met)}; mean gap "
                f"{100 * np.mean(_gaps(rows, COLUMNS[other])):.2f} % against "
                f"{100 * np.mean(gaps):.2f} %): faster in {faster} rows, within "
                f"0.01 % in {ties}, slower in {slower}."
            )
    bert = [row for row in rows if row.model == "bert-base"]
    if bert:
        slowest = max(row.shot_seconds for row in bert)
        lines.append(
            f"- Under a second for BERT-base on one core: {slowest:.3f} s at most "
            f"({_met(slowest < SECOND_GOAL)})."
        )
    if len(scale) > 1:
        large = [one for one in scale if one.ops >= 500]
        power = float(
            np.polyfit(np.log([o.ops for o in large]), np.log([o.seconds for o in large]), 1)[0]
        )
        lines.append(
            f"- Cost linear in ops to 20,000: it grows as ops^{power:.2f} from 500 ops on "
            f"({_met(power <= 1.1)})."
        )
    return lines


def _met(is_met: bool) -> str:
    return "met" if is_met else "SHORT"


def _against(rows: list[Row], one: Column, other: Column) -> tuple[int, int, int]:
    """Rows in which the first is slower, equal within 0.01 %, faster."""
    slower = ties = faster = 0
    for row in rows:
        first, second = one(row), other(row)
        if first is None or second is None:
            continue
        if first > second * 1.0001:
            slower += 1
        elif first < second / 1.0001:
            faster += 1
        else:
            ties += 1
    return slower, ties, faster
