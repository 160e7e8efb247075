"""A training from its first generation, or from a checkpoint, to its artifact."""

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from accelerator_sim.problem import PlacementProblem
from egrl.agents.diverged import DivergedError
from egrl.compilation import Prepared, Searched, write_placed
from egrl.evaluators.command import CommandEvaluator
from egrl.placement import measured_again, reference_latencies, report_placement
from egrl.placers.base import Budget, Progress, Search
from egrl.placers.reference import reference_placement
from egrl.training.checkpoint import State, has_checkpoint, read_checkpoint, write_synced
from egrl.training.problem import build_machine, close_machine, prepared, problem_digest
from egrl.training.settings import RunConfig, config_text
from egrl.training.trainer import CHECKPOINT, Trainer, config_digest
from egrl.training.versions import versions
from graph_ir.errors import InputError

CONFIG = "config.toml"
VERSIONS = "versions.json"
ARTIFACT = "best.egrl"
LOCK = ".lock"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run came to.

    Attributes:
        folder: of the run.
        generations: done.
        evaluations: used.
        best_s: latency of the best placement.
        speedup: of it over `native`.
        finished: whether the budget was used up; an interrupt ends a run before.
    """

    folder: Path
    generations: int
    evaluations: int
    best_s: float
    speedup: float
    finished: bool


def train_run(config: RunConfig, folder: Path, *, resume: bool, progress: Progress) -> Outcome:
    """Train, and keep everything about it in a folder.

    Args:
        config: checked.
        folder: of the run; made where it does not exist.
        resume: go on from the folder's checkpoint, or from the beginning where it has none yet.
        progress: told once a second.

    Raises:
        InputError: the model, the target or the checkpoint is wrong.
        DivergedError: the learner diverged; the checkpoint before that is still there.
        UnmetRequirementError: nothing feasible was found.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder):
        kept = read_checkpoint(folder / CHECKPOINT) if has_checkpoint(folder / CHECKPOINT) else None
        if kept is not None and not resume:
            raise InputError(f"{folder}: holds a run already; expected --resume or another folder")
        ready = prepared(config.settings)
        problem = ready.problem
        if kept is not None:
            _check_same(kept.state, config, problem, folder)
        write_synced(folder / CONFIG, config_text(config).encode())
        text = json.dumps(versions(), indent=1) + "\n"
        write_synced(folder / VERSIONS, text.encode())
        machine = build_machine(problem, config.settings)
        try:
            budget = Budget(evaluations=config.agent.evaluations)
            search = Search(problem, budget, evaluator=machine)
            references = reference_latencies(problem)
            trainer = Trainer(config, folder, search, references, kept, progress)
            trainer.train()
            if config.settings.artifact:
                _write_best(config, folder, ready, search, references, trainer.run.reference_s)
            return Outcome(
                folder,
                trainer.generation,
                search.evaluations,
                search.best_s,
                trainer.run.reference_s / search.best_s,
                search.exhausted,
            )
        except DivergedError as error:
            last = folder / CHECKPOINT
            raise DivergedError(f"{error}; the last good checkpoint is kept in {last}") from error
        finally:
            close_machine(machine)


def _write_best(
    config: RunConfig,
    folder: Path,
    ready: Prepared,
    search: Search,
    references: Mapping[str, float],
    reference_s: float,
) -> None:
    """Write the best placement as `egrl compile` would have."""
    settings, problem = config.settings, search.problem
    name = Path(settings.workload).stem
    placed = report_placement(problem, settings.agent, search.result(), dict(references), name)
    machine, command = search.evaluator, settings.command
    if command is not None and isinstance(machine, CommandEvaluator):
        reference, _ = reference_placement(problem)
        placed = measured_again(placed, machine, command.line, reference, reference_s)
    budget = f"{config.agent.evaluations}ev"
    searched = Searched(settings.agent, budget, settings.seed, command)
    write_placed(ready, placed, folder / ARTIFACT, settings.target, searched)


def _check_same(state: State, config: RunConfig, problem: PlacementProblem, folder: Path) -> None:
    where = folder / CHECKPOINT
    wanted = config.settings.agent
    if state.agent != wanted:
        raise InputError(f"{where}: agent: expected {wanted}, got {state.agent!a:.40}")
    if state.config != config_digest(config):
        raise InputError(f"{where}: was made with another configuration than this one")
    if state.problem != problem_digest(problem):
        raise InputError(f"{where}: was made for another workload or accelerator than these")


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Refuse a folder in which another process trains."""
    handle = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise InputError(f"{folder}: another process trains there") from error
        yield
    finally:
        os.close(handle)
