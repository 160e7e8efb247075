"""The advice list of a report: every entry is a plan that was placed and simulated again.

A search finds something better by luck now and then, and that must not be taken for the effect of
a change. So the plan is first placed again on its own machine; then every placement that was found
for a changed machine is tried on the unchanged one as well, and what a change brings is counted
from the best of all these.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from accelerator_sim.addresses import has_addresses
from accelerator_sim.engine import evaluate
from accelerator_sim.problem import PlacementProblem
from accelerator_sim.report_case import Advice, ReportCase
from accelerator_sim.units import plain, seconds_text
from egrl.advice.again import PlacedAgain, place_again, rebuilt
from egrl.advice.hardware import hardware_changes
from egrl.advice.narrow import narrowable, stalling, with_narrow
from egrl.advice.single import single_moves
from graph_ir.errors import UnmetRequirementError

MAX_ENTRIES = 8
MAX_TENSORS = 3
LEAST_CHANGE = 0.005
"""What is advised makes the plan faster by at least this share."""

NEARLY = 0.8
"""The smaller of two steps is advised if it brings this share of what the larger does."""

FEW_WEIGHTS = 3


@dataclass(frozen=True, slots=True)
class _Trial:
    """A change that was placed again; trials of one key are alternatives, the least first."""

    kind: str
    key: str
    text: str
    found: PlacedAgain


def advise(case: ReportCase) -> tuple[Advice, ...]:
    """What would make a plan faster, most worthwhile first.

    The same case gives the same advice: searches are limited by evaluations, not by time.

    Args:
        case: whose plan is to be improved; its own advice is not looked at.
    """
    planned_s = case.report.latency_s
    start_T = np.array(case.homes, np.int8)
    again = place_again(case.problem, [start_T])
    best_T, best_s = start_T, planned_s
    if again is not None and again.latency_s < best_s:
        best_T, best_s = again.homes_T, again.latency_s
    trials = list(_trials(case, best_T))
    for trial in trials:
        best_s = min(best_s, _on_own_machine(case.problem, trial.found))
    entries = [_entry(trial, planned_s, best_s) for trial in _preferred(trials, best_s)]
    entries += _tensor_entries(case)
    entries.sort(key=_order)
    if best_s < planned_s * (1 - LEAST_CHANGE):
        # The others refer to it, so that it is always among them.
        text = "another placement on the same machine: compile again with a larger budget"
        again_entry = Advice("placement", text, best_s, best_s / planned_s - 1)
        entries = sorted([*entries[: MAX_ENTRIES - 1], again_entry], key=_order)
    return tuple(entries[:MAX_ENTRIES])


def _order(entry: Advice) -> tuple[float, str, str]:
    return entry.latency_s, entry.kind, entry.text


def _trials(case: ReportCase, start_T: NDArray[np.int8]) -> Iterator[_Trial]:
    problem = case.problem
    for change in hardware_changes(problem.accelerator):
        try:
            changed = rebuilt(problem, accelerator=change.accelerator)
        except UnmetRequirementError:
            continue  # More of one thing cannot make less fit; a pin to a lost home could.
        found = place_again(changed, [start_T])
        if found is not None:
            yield _Trial(change.kind, change.key, change.text, found)
    candidates = narrowable(problem.workload, problem.accelerator)
    worst = stalling(problem.workload, case.timeline, candidates)[:FEW_WEIGHTS]
    for key, weights, which in (
        ("few", worst, f"the weights that stall most ({_names(case, worst)})"),
        ("all", candidates, f"all {len(candidates)} weights of matrix products"),
    ):
        if weights and (key == "few" or len(weights) > len(worst)):
            narrowed = rebuilt(problem, workload=with_narrow(problem.workload, weights))
            found = place_again(narrowed, [start_T])
            if found is not None:
                text = f"int8 for {which}, if their error is acceptable"
                yield _Trial("precision", key, text, found)


def _names(case: ReportCase, tensors: list[int]) -> str:
    return ", ".join(plain(case.problem.workload.tensors[t].name, 24) for t in tensors)


def _on_own_machine(problem: PlacementProblem, found: PlacedAgain) -> float:
    """Latency of a placement on the unchanged machine; infinite where it does not fit there."""
    homes = np.arange(problem.allowed_TH.shape[1])
    allowed = (problem.allowed_TH & (homes == found.homes_T[:, np.newaxis])).any(axis=1)
    if not allowed.all():
        return float(np.inf)
    latency_s, overflow_bytes = evaluate(problem, found.homes_T)
    if overflow_bytes > 0 or not has_addresses(problem, found.homes_T):
        return float(np.inf)
    return latency_s


def _preferred(trials: list[_Trial], best_s: float) -> Iterator[_Trial]:
    """Trials that help, one for each key: the least that brings nearly as much as the most."""
    for key in dict.fromkeys((trial.kind, trial.key) for trial in trials):
        helping = [
            trial
            for trial in trials
            if (trial.kind, trial.key) == key
            and trial.found.latency_s < best_s * (1 - LEAST_CHANGE)
        ]
        if helping:
            most_s = best_s - min(trial.found.latency_s for trial in helping)
            yield next(t for t in helping if best_s - t.found.latency_s >= NEARLY * most_s)


def _entry(trial: _Trial, planned_s: float, best_s: float) -> Advice:
    latency_s, text = trial.found.latency_s, trial.text
    if best_s < planned_s * (1 - LEAST_CHANGE):
        beyond = 100 * (1 - latency_s / best_s)
        text += f" ({beyond:.1f} % less than with another placement alone)"
    return Advice(trial.kind, text, latency_s, latency_s / planned_s - 1)


def _tensor_entries(case: ReportCase) -> list[Advice]:
    planned_s = case.report.latency_s
    entries: list[Advice] = []
    for move in single_moves(case.problem, case.homes)[:MAX_TENSORS]:
        change = move.latency_s / planned_s - 1
        if change > -LEAST_CHANGE:
            break
        name = plain(case.problem.workload.tensors[move.tensor].name, 40)
        here = case.problem.home_name(case.homes[move.tensor])
        there = case.problem.home_name(move.home)
        cost = seconds_text(planned_s - move.latency_s)
        text = f"{name} costs {cost} in {here} (against {there}, as if there were room)"
        entries.append(Advice("tensor", text, move.latency_s, change))
    return entries
