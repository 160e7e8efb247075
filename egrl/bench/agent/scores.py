"""Scores from rows: latency over the best known of its problem, pooled over problems and runs."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from egrl.bench.agent.rows import Rows, Run
from egrl.bench.agent.statistics import Interval, interval, value_at


def best_known(rows: Rows, case: str) -> float:
    """Least latency that anything found on this problem and machine; infinity where nothing did."""
    reference = rows.references.get(case)
    found = [] if reference is None else [reference.best_s]
    native_s = None if reference is None else reference.native_s
    found += [
        run.latency_s
        for run in rows.runs.values()
        if run.case == case
        and run.latency_s is not None
        and (native_s is None or run.native_s == native_s)
    ]
    return min(found, default=float(np.inf))


def whole(run: Run, at: float) -> bool:
    """Whether a run was given as much as is asked; methods of one evaluation always were."""
    return run.budget >= at or run.evaluations <= 1


@dataclass(slots=True)
class Scores:
    """Scores of one experiment.

    Attributes:
        rows: all measurements.
        part: experiment.
        runs: of the experiment, by problem and method.
        best_s: best known by problem, filled as it is asked for.
    """

    rows: Rows
    part: str
    runs: dict[tuple[str, str], list[Run]]
    best_s: dict[str, float] = field(default_factory=dict)

    def best(self, case: str) -> float:
        """Best known of a problem."""
        if case not in self.best_s:
            self.best_s[case] = best_known(self.rows, case)
        return self.best_s[case]

    def runs_of(self, case: str, method: str) -> list[Run]:
        """Runs of a method by seed."""
        return self.runs.get((case, method), [])

    def of(self, case: str, method: str, at: float) -> list[float]:
        """What each run had at a point: latency over best known, less 1; infinity for nothing."""
        best_s = self.best(case)
        return [
            value_at(run.curve, at) / best_s - 1.0
            for run in self.runs_of(case, method)
            if whole(run, at)
        ]

    def common(self, cases: Iterable[str], methods: Sequence[str], at: float) -> list[str]:
        """The problems on which all of these methods have runs."""
        return [case for case in cases if all(self.of(case, method, at) for method in methods)]

    def pooled(self, cases: Iterable[str], method: str, at: float) -> Interval | None:
        """Interquartile mean over the problems on which the method has runs; None without any."""
        strata = [found for case in cases if (found := self.of(case, method, at))]
        return interval(strata) if strata else None


def scores_of(rows: Rows, part: str) -> Scores:
    """Scores of an experiment."""
    return Scores(rows, part, rows.grouped(part))
