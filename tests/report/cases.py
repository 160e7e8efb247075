"""Random workloads, placed at random: what the report tests describe."""

import functools

import numpy as np

from accelerator_sim.build_report import build_report
from accelerator_sim.problem import PlacementProblem, build_problem
from accelerator_sim.reference_engine import simulate
from accelerator_sim.report import Report
from accelerator_sim.targets import load_target
from accelerator_sim.timeline import Timeline
from egrl.bench.random_graphs import random_workload

TARGETS = ("nnp-i", "nnp-i-partitioned", "ethos-u65-512")


@functools.lru_cache(maxsize=64)
def simulated(
    seed: int, op_count: int = 12, target: str = "nnp-i"
) -> tuple[PlacementProblem, tuple[int, ...], Timeline]:
    """A random placement; its capacity is not checked."""
    accelerator = load_target(target)
    random = np.random.default_rng(seed)
    workload = random_workload(op_count, random, accelerator.default_type)
    problem = build_problem(workload, accelerator)
    homes = tuple(
        int(random.choice(np.flatnonzero(problem.allowed_TH[t])))
        for t in range(problem.tensor_count)
    )
    return problem, homes, simulate(problem, homes)


def report_of(
    seed: int = 0,
    op_count: int = 12,
    target: str = "nnp-i",
    *,
    references: dict[str, float] | None = None,
    bound: float | None = None,
    best_known: float = 1.0,
) -> Report:
    """A report; references, bound and best known latency relative to the plan's latency."""
    problem, homes, timeline = simulated(seed, op_count, target)
    if references is None:
        references = {
            "all-outermost": 3.0, "native": 1.5, "acts-first": 1.2, "greedy": 1.4, "ideal": 0.8,
        }  # fmt: skip
    latency_s = timeline.latency_s
    return build_report(
        problem,
        homes,
        timeline,
        model="model",
        placer="auto",
        references={name: ratio * latency_s for name, ratio in references.items()},
        lower_bound_s=None if bound is None else bound * latency_s,
        best_known_s=best_known * latency_s,
    )
