"""Experiment 1, the paper's protocol: 4,000 evaluations, five seeds, speed-up over `native`.

Maps that do not fit count as evaluations, as in the paper; so does every placement of a local
search, though it takes microseconds.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from egrl.bench.agent.cases import PROTOCOL_CASES, Case, chosen, native_seconds
from egrl.bench.agent.methods import METHODS, Part, of_part
from egrl.bench.agent.moves import from_native
from egrl.bench.agent.rows import Run, thinned
from egrl.bench.agent.settings import Settings
from egrl.bench.settings import processor
from egrl.placers.base import Budget
from graph_ir.errors import UnmetRequirementError

PART: Part = "protocol"
EVALUATIONS = 4000


@dataclass(frozen=True, slots=True)
class CountedTask:
    """One run that ends by evaluations.

    Attributes:
        part: experiment.
        case: problem.
        method: name.
        seed: of the run.
        evaluations: that it is given.
        folder: of the built models.
    """

    part: Part
    case: Case
    method: str
    seed: int
    evaluations: int
    folder: Path

    @property
    def row(self) -> tuple[str, str, str, int, float]:
        """Part, problem, method, seed and budget of the row that it makes."""
        return self.part, self.case.name, self.method, self.seed, float(self.evaluations)


def cases(settings: Settings) -> list[Case]:
    """The chosen problems."""
    return chosen(PROTOCOL_CASES, settings)


def tasks(settings: Settings) -> Iterator[CountedTask]:
    """All runs of the experiment."""
    return counted_tasks(PART, cases(settings), settings)


def counted_tasks(
    part: Part, problems: Sequence[Case], settings: Settings
) -> Iterator[CountedTask]:
    """All runs, one seed of everything after another, so that a stopped run has whole seeds."""
    evaluations = settings.agent.evaluations or EVALUATIONS
    folder = settings.common.folder
    for seed in settings.seeds(part):
        for case in problems:
            for method in of_part(part, list(settings.agent.methods)):
                if METHODS[method].kind != "once" or seed == 0:
                    yield CountedTask(part, case, method, seed, evaluations, folder)


def measure(task: CountedTask) -> Run:
    """Run it."""
    problem = task.case.load(task.folder)
    placer = METHODS[task.method].make(problem, None, None)
    began = time.monotonic()
    try:
        found = placer.place(
            problem, Budget(evaluations=task.evaluations), np.random.default_rng(task.seed)
        )
    except UnmetRequirementError:
        found = None
    seconds = time.monotonic() - began
    moved_bytes, moved_tensors = ([], []) if found is None else from_native(problem, found.homes_T)
    return Run(
        part=task.part,
        case=task.case.name,
        method=task.method,
        seed=task.seed,
        native_s=native_seconds(task.case, task.folder),
        budget=task.evaluations,
        latency_s=None if found is None else found.latency_s,
        evaluations=0 if found is None else found.evaluations,
        seconds=round(seconds, 3),
        curve=[] if found is None else thinned(found.curve),
        moved_bytes=moved_bytes,
        moved_tensors=moved_tensors,
        machine=processor(),
    )
