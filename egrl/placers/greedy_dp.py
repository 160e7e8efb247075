"""`greedy-dp`: the baseline of the EGRL paper (arXiv 2007.07298, section 5).

From everything in the outermost tier: for one op after another all combinations of two choices are
tried, one home for its weights and states and one for its outputs and scratch, with all else fixed;
the best that fits and has addresses stays, and at a tie what was there. After the last op it begins
anew, until the budget ends or a whole sweep changes nothing. A tensor belongs to the first op that
uses it, and a tensor that may not live in the home of its slot keeps the one that it has.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from accelerator_sim.problem import PlacementProblem
from accelerator_sim.rectify import build_rectifier
from egrl.evaluators.base import Evaluator
from egrl.placers.addressable import offer_addressable
from egrl.placers.all_outermost import AllOutermost
from egrl.placers.base import Budget, Placer, PlacerResult, Progress, Search, no_progress
from egrl.placers.decoder import build_decoder
from egrl.placers.native import RESIDENT_KINDS

Slot = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class GreedyDp(Placer):
    """Every choice of one op at a time, in repeated sweeps.

    Attributes:
        evaluator: the machine to search on; the engine where None.
    """

    evaluator: Evaluator | None = None

    def place(
        self,
        problem: PlacementProblem,
        budget: Budget,
        rng: np.random.Generator,
        progress: Progress = no_progress,
    ) -> PlacerResult:
        """See `Placer.place`."""
        search = Search(problem, budget, progress, self.evaluator)
        decoder = build_decoder(problem)
        homes_T = AllOutermost().homes(problem, decoder)
        now_s = float(search.measure(homes_T[np.newaxis, :])[0])
        offer_addressable(search, build_rectifier(problem), homes_T, now_s)
        if search.best_homes_T is not None:
            homes_T, now_s = search.best_homes_T, search.best_s
        changed = True
        while changed and not search.exhausted:
            changed = False
            for slots in op_slots(problem):
                if search.exhausted:
                    break
                candidates_PT = choices_of(problem, homes_T, slots)
                if budget.evaluations is not None:
                    candidates_PT = candidates_PT[: budget.evaluations - search.evaluations]
                if not len(candidates_PT):
                    continue
                latency_P = search.measure(candidates_PT)
                for best in np.argsort(latency_P, kind="stable").tolist():
                    if not latency_P[best] < now_s:
                        break
                    if search.offer(candidates_PT[best], float(latency_P[best])):
                        homes_T, now_s = candidates_PT[best], float(latency_P[best])
                        changed = True
                        break
        return search.result()


def op_slots(problem: PlacementProblem) -> list[tuple[Slot, Slot]]:
    """For each op the tensors of its weight slot and of its output slot that have a choice."""
    tensors = problem.workload.tensors
    free = problem.allowed_TH.sum(axis=1) > 1
    owned: set[int] = set()
    slots: list[tuple[Slot, Slot]] = []
    for op in problem.workload.ops:
        mine = [
            t for t in dict.fromkeys(o.tensor for o in op.operands) if t not in owned and free[t]
        ]
        owned.update(mine)
        weights = [t for t in mine if tensors[t].kind in RESIDENT_KINDS]
        outputs = [t for t in mine if tensors[t].kind not in RESIDENT_KINDS]
        slots.append((np.array(weights, np.int64), np.array(outputs, np.int64)))
    return slots


def choices_of(
    problem: PlacementProblem, homes_T: NDArray[np.int8], slots: tuple[Slot, Slot]
) -> NDArray[np.int8]:
    """The placements that differ from this one in the two slots of an op, without repetition."""
    home_count = len(problem.homes)
    candidates: dict[bytes, NDArray[np.int8]] = {}
    for first in range(home_count):
        for second in range(home_count):
            choice_T = homes_T.copy()
            for tensors, home in zip(slots, (first, second), strict=True):
                allowed = tensors[problem.allowed_TH[tensors, home]]
                choice_T[allowed] = home
            candidates.setdefault(choice_T.tobytes(), choice_T)
    candidates.pop(homes_T.tobytes(), None)
    return np.array(list(candidates.values()), np.int8).reshape(-1, len(homes_T))
