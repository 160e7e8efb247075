"""A training from its first generation, or from a checkpoint, to its end."""

import fcntl
import hashlib
import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from accelerator_sim.problem import PlacementProblem
from egrl.agents.diverged import DivergedError
from egrl.placers.base import Budget, Progress, Search
from egrl.training.agents import AGENTS, Measures, Run
from egrl.training.checkpoint import (
    SCHEMA,
    Checkpoint,
    State,
    has_checkpoint,
    read_checkpoint,
    write_checkpoint,
    write_synced,
)
from egrl.training.curve import curve_png
from egrl.training.metrics import Metrics, MetricsLog, Timing, read_metrics
from egrl.training.problem import (
    FLOOR,
    build_machine,
    close_machine,
    prepared,
    problem_digest,
    reference_seconds,
)
from egrl.training.random_state import rng_state, set_rng_state
from egrl.training.settings import ANYWHERE, RunConfig, config_text
from egrl.training.versions import versions
from graph_ir.errors import InputError

CONFIG = "config.toml"
VERSIONS = "versions.json"
CHECKPOINT = "checkpoint"
CURVE = "curve.png"
LOCK = ".lock"
REPORT_SECONDS = 1.0


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
        problem = prepared(config.settings).problem
        if kept is not None:
            _check_same(kept.state, config, problem, folder)
        write_synced(folder / CONFIG, config_text(config).encode())
        text = json.dumps(versions(), indent=1) + "\n"
        write_synced(folder / VERSIONS, text.encode())
        machine = build_machine(problem, config.settings)
        try:
            budget = Budget(evaluations=config.agent.evaluations)
            search = Search(problem, budget, evaluator=machine)
            return _Trainer(config, folder, search, kept, progress).train()
        except DivergedError as error:
            last = folder / CHECKPOINT
            raise DivergedError(f"{error}; the last good checkpoint is kept in {last}") from error
        finally:
            close_machine(machine)


class _Trainer:
    """A run under way."""

    def __init__(
        self,
        config: RunConfig,
        folder: Path,
        search: Search,
        kept: Checkpoint | None,
        progress: Progress,
    ) -> None:
        self.config, self.folder, self.search, self.progress = config, folder, search, progress
        self.problem = search.problem
        self.rng = np.random.default_rng(config.settings.seed)
        agent = AGENTS[config.settings.agent]()
        self.run: Run = agent.build(self.problem, config.agent, search, self.rng)
        self.generation = 0
        self.sizes = 0, 0
        self.digests = problem_digest(self.problem), config_digest(config)
        self.references = (
            reference_seconds(self.problem)
            if search.evaluator is None
            else {"native": self.run.reference_s}
        )
        if kept is not None:
            self._restore(kept)
        self.began = time.monotonic()
        self.evaluations_before = search.evaluations

    def train(self) -> Outcome:
        """Go on to the end of the budget, or until an interrupt."""
        import torch

        # The same bytes on any number of cores.
        torch.set_num_threads(1)
        interval_s = self.config.settings.checkpoint_seconds
        with (
            MetricsLog(self.folder, self.generation, *self.sizes) as log,
            _interruptible() as interrupted,
        ):
            saved_at, reported_at = -np.inf, -np.inf
            while not self.search.exhausted and not interrupted.is_set():
                began = time.monotonic()
                measures = self._generation()
                now = time.monotonic()
                timing = Timing(self.generation, now - began, now - self.began)
                log.add(self._metrics(measures), timing)
                if now - saved_at >= interval_s:
                    self._save(log)
                    saved_at = time.monotonic()
                if now - reported_at >= REPORT_SECONDS or self.search.exhausted:
                    self.progress(self._line(), self.search.best_s)
                    reported_at = now
            self._save(log)
        self._draw()
        self.search.result()
        return Outcome(
            self.folder,
            self.generation,
            self.search.evaluations,
            self.search.best_s,
            self.run.reference_s / self.search.best_s,
            self.search.exhausted,
        )

    def _generation(self) -> Measures:
        measures = self.run.generation()
        self.generation += 1
        return measures

    def _metrics(self, found: Measures) -> Metrics:
        best_s = self.search.best_s
        known = bool(np.isfinite(best_s))
        floor_s = self.references.get(FLOOR)
        return Metrics(
            self.generation,
            self.search.evaluations,
            best_s if known else None,
            self.run.reference_s / best_s if known else None,
            best_s / floor_s - 1.0 if known and floor_s else None,
            found.valid / found.tried if found.tried else None,
            found.best_reward,
            found.gradient_steps,
            found.losses,
        )

    def _save(self, log: MetricsLog) -> None:
        search = self.search
        arrays = {f"agent.{name}": array for name, array in self.run.arrays().items()}
        if search.best_homes_T is not None:
            arrays["search.best_homes"] = search.best_homes_T
        self.sizes = log.sync()
        state = State(
            SCHEMA,
            self.config.settings.agent,
            *self.digests,
            self.generation,
            search.evaluations,
            search.best_s if search.best_homes_T is not None else None,
            list(search.curve),
            rng_state(self.rng),
            msgspec.to_builtins(self.run.facts()),
            *self.sizes,
        )
        write_checkpoint(self.folder / CHECKPOINT, state, arrays)

    def _restore(self, kept: Checkpoint) -> None:
        where = self.folder / CHECKPOINT
        state, search = kept.state, self.search
        try:
            agent = {
                name.removeprefix("agent."): array
                for name, array in kept.arrays.items()
                if name.startswith("agent.")
            }
            self.run.restore(agent, state.facts)
            set_rng_state(self.rng, state.rng)
            homes_T = kept.arrays.get("search.best_homes")
            if (homes_T is None) != (state.best_s is None):
                raise InputError("best_s: expected a placement beside it")
            if homes_T is not None:
                _check_homes(self.problem, homes_T)
        except InputError as error:
            raise InputError(f"{where}: {error}") from error
        search.evaluations, search.curve = state.evaluations, list(state.curve)
        search.best_homes_T = homes_T
        search.best_s = np.inf if state.best_s is None else state.best_s
        self.generation = state.generation
        self.sizes = state.metrics_bytes, state.timing_bytes

    def _line(self) -> str:
        search, limit = self.search, self.config.agent.evaluations
        parts = [f"generation {self.generation}", f"{search.evaluations}/{limit} evaluations"]
        if np.isfinite(search.best_s):
            parts.append(f"{self.run.reference_s / search.best_s:.3g} times native")
            if FLOOR in self.references:
                parts.append(
                    f"gap to the floor {100 * (search.best_s / self.references[FLOOR] - 1):.1f} %"
                )
        done = search.evaluations - self.evaluations_before
        left_s = (limit - search.evaluations) * (time.monotonic() - self.began) / max(1, done)
        parts.append(f"{int(max(0.0, left_s))} s left")
        return ", ".join(parts)

    def _draw(self) -> None:
        settings = self.config.settings
        title = f"{settings.agent}: {Path(settings.workload).stem} on {Path(settings.target).stem}"
        picture = curve_png(read_metrics(self.folder), self.search.curve, self.references, title)
        write_synced(self.folder / CURVE, picture)


def config_digest(config: RunConfig) -> str:
    """SHA-256 of what decides the result."""
    lines = [
        line for line in config_text(config).splitlines() if line.split(" = ")[0] not in ANYWHERE
    ]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _check_same(state: State, config: RunConfig, problem: PlacementProblem, folder: Path) -> None:
    where = folder / CHECKPOINT
    wanted = config.settings.agent
    if state.agent != wanted:
        raise InputError(f"{where}: agent: expected {wanted}, got {state.agent!a:.40}")
    if state.config != config_digest(config):
        raise InputError(f"{where}: was made with another configuration than this one")
    if state.problem != problem_digest(problem):
        raise InputError(f"{where}: was made for another workload or accelerator than these")


def _check_homes(problem: PlacementProblem, homes_T: NDArray[Any]) -> None:
    shape = (len(problem.workload.tensors),)
    if homes_T.dtype != np.int8 or homes_T.shape != shape:
        raise InputError(f"search.best_homes: expected int8 {list(shape)}")
    if not (homes_T.min(initial=0) >= 0 and homes_T.max(initial=0) < len(problem.homes)):
        raise InputError(f"search.best_homes: expected homes below {len(problem.homes)}")
    if not problem.allowed_TH[np.arange(len(homes_T)), homes_T].all():
        raise InputError("search.best_homes: a tensor has a home that it may not have")


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


@contextmanager
def _interruptible() -> Iterator[threading.Event]:
    """The first Ctrl-C sets the event, so that a generation ends whole; the second interrupts."""
    event = threading.Event()

    def handle(_number: int, _frame: FrameType | None) -> None:
        if event.is_set():
            raise KeyboardInterrupt
        event.set()

    if threading.current_thread() is not threading.main_thread():
        yield event
        return
    before = signal.signal(signal.SIGINT, handle)
    try:
        yield event
    finally:
        signal.signal(signal.SIGINT, before)
