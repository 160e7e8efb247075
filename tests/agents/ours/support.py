"""Problems small enough to check by hand or by brute force."""

from functools import lru_cache

import numpy as np

from accelerator_sim.problem import PlacementProblem, build_problem
from accelerator_sim.targets import load_target
from egrl.bench.random_graphs import random_workload
from egrl.generator.problems import generate_problem


@lru_cache(maxsize=32)
def generated(seed: int, most: int = 60) -> PlacementProblem:
    return generate_problem(np.random.default_rng(seed), op_range=(20, most))


@lru_cache(maxsize=8)
def random_problem(ops: int, seed: int = 0, target: str = "nnp-i") -> PlacementProblem:
    return build_problem(random_workload(ops, np.random.default_rng(seed)), load_target(target))
