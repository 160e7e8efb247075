"""Experiment 4: generated graphs of 2,000 to 10,000 ops that `exact` leaves open after a minute.

All methods get the same wall time. A problem is in the comparison where the gap that the reference
run of `exact` left is above `OPEN_GAP`; the others are named and left out.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from accelerator_sim.problem import PlacementProblem, build_problem
from accelerator_sim.targets import load_target
from egrl.bench.agent.clock import ClockedTask
from egrl.bench.agent.methods import Part, is_seedless, of_part
from egrl.bench.agent.rows import Rows
from egrl.bench.agent.settings import Settings
from egrl.generator.named import NAMED

PART: Part = "open"
TIMES_S = (1.0, 10.0)
"""At which incumbents are compared, beside the whole time."""

OPEN_GAP = 1e-3
"""Of `exact`'s placement to its bound, above which a problem is open."""


@dataclass(frozen=True, slots=True)
class GeneratedCase:
    """A generated graph on a target.

    Attributes:
        workload: of `egrl/generator/named.py`.
        target: accelerator.
    """

    workload: str
    target: str

    @property
    def name(self) -> str:
        """What rows and tables call it."""
        return f"{self.workload} fp16 on {self.target}"

    def load(self, folder: Path) -> PlacementProblem:
        """The placement problem; it is generated, whatever the folder."""
        return _generate(self)


OPEN_CASES: tuple[GeneratedCase, ...] = tuple(
    GeneratedCase(name, "nnp-i")
    for name in ("residual-2000", "encoder-3000", "branchy-4000", "detector-6000", "unet-10000")
)


@lru_cache(maxsize=2)
def _generate(case: GeneratedCase) -> PlacementProblem:
    return build_problem(NAMED[case.workload](), load_target(case.target))


def cases(settings: Settings) -> list[GeneratedCase]:
    """The chosen problems; `--model` names workloads."""
    models, targets = settings.common.models, settings.common.targets
    return [
        case
        for case in OPEN_CASES
        if (not models or case.workload in models) and (not targets or case.target in targets)
    ]


def is_open(rows: Rows, name: str) -> bool:
    """Whether `exact` left the problem open, as far as is known."""
    reference = rows.references.get(name)
    return reference is None or reference.exact_gap > OPEN_GAP


def tasks(settings: Settings, rows: Rows) -> Iterator[ClockedTask]:
    """All runs on open problems, one problem after another, since large ones take long to build."""
    seconds = settings.common.seconds
    times_s = (*(time_s for time_s in TIMES_S if time_s < seconds), seconds)
    for case in cases(settings):
        if not is_open(rows, case.name):
            continue
        for seed in settings.seeds(PART):
            for method in of_part(PART, list(settings.agent.methods)):
                if seed == 0 or not is_seedless(method, PART):
                    yield ClockedTask(
                        PART, case, method, seed, times_s, settings.common.folder,
                        settings.agent.jobs,
                    )  # fmt: skip
