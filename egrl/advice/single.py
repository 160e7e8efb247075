"""What single tensors cost where they are: the plan with one of them moved in, room or not."""

from dataclasses import dataclass

import msgspec
import numpy as np

from accelerator_sim.accelerator import Accelerator
from accelerator_sim.engine import evaluate, evaluate_batch
from accelerator_sim.problem import PlacementProblem, build_problem
from accelerator_sim.quantity import Quantity

LARGEST_BYTES = float(1 << 50)


@dataclass(frozen=True, slots=True)
class SingleMove:
    """A tensor that would save time.

    Attributes:
        tensor: index.
        home: where it would be.
        latency_s: a floor: the whole plan with only this tensor moved, as if there were room.
    """

    tensor: int
    home: int
    latency_s: float


def single_moves(problem: PlacementProblem, homes: tuple[int, ...]) -> list[SingleMove]:
    """The best home of every free tensor that would save time, most worthwhile first."""
    now_T = np.array(homes, np.int8)
    roomy = build_problem(problem.workload, _without_limits(problem.accelerator))
    now_s, _ = evaluate(roomy, now_T)
    moves: list[tuple[int, int]] = []
    for t in problem.free_tensors.tolist():
        others = np.flatnonzero(roomy.allowed_TH[t]).tolist()
        moves += [(t, home) for home in others if home != homes[t]]
    population_PT = np.repeat(now_T[np.newaxis, :], len(moves), axis=0)
    for row, (t, home) in enumerate(moves):
        population_PT[row, t] = home
    best: dict[int, SingleMove] = {}
    if moves:
        latency_P = evaluate_batch(roomy, population_PT).latency_s_P
        for (t, home), latency_s in zip(moves, latency_P.tolist(), strict=True):
            if latency_s < min(now_s, best[t].latency_s if t in best else now_s):
                best[t] = SingleMove(t, home, latency_s)
    return sorted(best.values(), key=lambda move: (move.latency_s, move.tensor))


def _without_limits(accelerator: Accelerator) -> Accelerator:
    """Every memory as large as anything; nothing else differs, so that times stay the same."""
    room = Quantity(LARGEST_BYTES, assumed=True, reason="as if there were room")
    tiers = [msgspec.structs.replace(tier, capacity_bytes=room) for tier in accelerator.tiers]
    return msgspec.structs.replace(accelerator, tiers=tiers)
