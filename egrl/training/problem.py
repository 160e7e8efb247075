"""The problem of a run, its machine, and what its results are compared with."""

import hashlib

import msgspec
import numpy as np

from accelerator_sim.problem import PlacementProblem
from egrl.compilation import Prepared, prepare
from egrl.evaluators.base import Evaluator
from egrl.evaluators.command import CommandEvaluator
from egrl.evaluators.detailed import DetailedEvaluator
from egrl.placers.reference import reference_placement
from egrl.training.settings import Settings


def prepared(settings: Settings) -> Prepared:
    """Load, lower and price the model of a run.

    Raises:
        InputError: the model or the target is wrong.
    """
    return prepare(settings.workload, settings.target, settings.precision, settings.dims)


def problem_digest(problem: PlacementProblem) -> str:
    """SHA-256 of everything that decides what a placement costs."""
    value = msgspec.json.encode([problem.workload, problem.accelerator], order="deterministic")
    pinned = np.ascontiguousarray(problem.allowed_TH).tobytes()
    return hashlib.sha256(value + pinned).hexdigest()


def build_machine(problem: PlacementProblem, settings: Settings) -> Evaluator | None:
    """What measures placements; None is the engine.

    Raises:
        InputError: a command that cannot run the reference placement.
    """
    command = settings.command
    if command is not None:
        machine = CommandEvaluator(problem, command)
        machine.check(reference_placement(problem)[1])
        return machine
    if settings.machine == "detailed":
        return DetailedEvaluator(problem, processes=settings.jobs)
    return None


def close_machine(machine: Evaluator | None) -> None:
    """End the processes of a machine that has some."""
    if isinstance(machine, DetailedEvaluator):
        machine.close()
