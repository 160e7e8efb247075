"""Experiment 4: generated graphs of 2,000 to 10,000 ops, most of which `exact` leaves open.

All methods get the same wall time; `exact`'s own gap after a minute is in the table, so that it can
be seen which problems are open.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from accelerator_sim.problem import PlacementProblem, build_problem
from accelerator_sim.targets import load_target
from egrl.bench.agent.clock import ClockedTask
from egrl.bench.agent.equal_time import SEEDLESS
from egrl.bench.agent.methods import METHODS, Part, of_part
from egrl.bench.agent.settings import Settings
from egrl.bench.random_graphs import random_workload

PART: Part = "open"
TIMES_S = (1.0, 10.0)
"""At which incumbents are compared, beside the whole time."""


@dataclass(frozen=True, slots=True)
class GeneratedCase:
    """A generated graph on a target.

    Attributes:
        family: of the generator.
        ops: at least so many.
        seed: of the generator.
        target: accelerator, with its own execution type.
    """

    family: str
    ops: int
    seed: int
    target: str

    @property
    def name(self) -> str:
        """What rows and tables call it."""
        return f"{self.family}-{self.ops} (seed {self.seed}) on {self.target}"

    def load(self, folder: Path) -> PlacementProblem:
        """The placement problem; it is generated, whatever the folder."""
        return _generate(self)


OPEN_CASES: tuple[GeneratedCase, ...] = (
    GeneratedCase("random", 2000, 0, "nnp-i"),
    GeneratedCase("random", 5000, 0, "nnp-i"),
    GeneratedCase("random", 10000, 0, "nnp-i"),
)


@lru_cache(maxsize=2)
def _generate(case: GeneratedCase) -> PlacementProblem:
    accelerator = load_target(case.target)
    rng = np.random.default_rng(case.seed)
    workload = random_workload(case.ops, rng, accelerator.default_type)
    return build_problem(workload, accelerator)


def cases(settings: Settings) -> list[GeneratedCase]:
    """The chosen problems; `--model` names families."""
    models, targets = settings.common.models, settings.common.targets
    return [
        case
        for case in OPEN_CASES
        if (not models or case.family in models) and (not targets or case.target in targets)
    ]


def tasks(settings: Settings) -> Iterator[ClockedTask]:
    """All runs, one problem after another, since large ones take long to build."""
    seconds = settings.common.seconds
    times_s = (*(time_s for time_s in TIMES_S if time_s < seconds), seconds)
    for case in cases(settings):
        for seed in settings.seeds(PART):
            for method in of_part(PART, list(settings.agent.methods)):
                if METHODS[method].kind not in SEEDLESS or seed == 0:
                    yield ClockedTask(
                        PART, case, method, seed, times_s, settings.common.folder,
                        settings.agent.jobs,
                    )  # fmt: skip
