"""Generation after generation: metrics, checkpoints, and going on from one."""

import hashlib
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from accelerator_sim.problem import PlacementProblem
from egrl.placement import IDEAL
from egrl.placers.base import Progress, Search
from egrl.training.agents import AGENTS, Measures, Run
from egrl.training.checkpoint import SCHEMA, Checkpoint, State, write_checkpoint, write_synced
from egrl.training.curve import curve_png
from egrl.training.interrupt import interruptible
from egrl.training.metrics import Metrics, MetricsLog, Timing, read_metrics
from egrl.training.problem import problem_digest
from egrl.training.random_state import rng_state, set_rng_state
from egrl.training.settings import ANYWHERE, RunConfig, config_text
from graph_ir.errors import InputError

CHECKPOINT = "checkpoint"
CURVE = "curve.png"
REPORT_SECONDS = 1.0


class Trainer:
    """A run under way."""

    def __init__(
        self,
        config: RunConfig,
        folder: Path,
        search: Search,
        references: Mapping[str, float],
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
        # What the engine says is not to be compared with what another machine does.
        self.references = (
            dict(references) if search.evaluator is None else {"native": self.run.reference_s}
        )
        if kept is not None:
            self._restore(kept)
        self.began = time.monotonic()
        self.evaluations_before = search.evaluations

    def train(self) -> None:
        """Go on to the end of the budget, or until an interrupt.

        Raises:
            DivergedError: the learner diverged.
            UnmetRequirementError: nothing feasible was found.
        """
        import torch

        # The same bytes on any number of cores.
        torch.set_num_threads(1)
        interval_s = self.config.settings.checkpoint_seconds
        with (
            MetricsLog(self.folder, self.generation, *self.sizes) as log,
            interruptible() as interrupted,
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

    def _generation(self) -> Measures:
        measures = self.run.generation()
        self.generation += 1
        return measures

    def _metrics(self, found: Measures) -> Metrics:
        best_s = self.search.best_s
        known = bool(np.isfinite(best_s))
        floor_s = self.references.get(IDEAL)
        return Metrics(
            self.generation,
            self.search.evaluations,
            best_s if known else None,
            _finite(self.run.reference_s / best_s) if known else None,
            _finite(best_s / floor_s - 1.0) if known and floor_s else None,
            found.valid / found.tried if found.tried else None,
            _finite(found.best_reward),
            found.gradient_steps,
            {name: value for name, value in found.losses.items() if np.isfinite(value)},
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
            if IDEAL in self.references:
                parts.append(
                    f"gap to the floor {100 * (search.best_s / self.references[IDEAL] - 1):.1f} %"
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


def _finite(value: float | None) -> float | None:
    """None for what JSON has no number for: a machine may answer anything."""
    return value if value is not None and np.isfinite(value) else None


def config_digest(config: RunConfig) -> str:
    """SHA-256 of what decides the result."""
    lines = [
        line for line in config_text(config).splitlines() if line.split(" = ")[0] not in ANYWHERE
    ]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _check_homes(problem: PlacementProblem, homes_T: NDArray[Any]) -> None:
    shape = (len(problem.workload.tensors),)
    if homes_T.dtype != np.int8 or homes_T.shape != shape:
        raise InputError(f"search.best_homes: expected int8 {list(shape)}")
    if not (homes_T.min(initial=0) >= 0 and homes_T.max(initial=0) < len(problem.homes)):
        raise InputError(f"search.best_homes: expected homes below {len(problem.homes)}")
    if not problem.allowed_TH[np.arange(len(homes_T)), homes_T].all():
        raise InputError("search.best_homes: a tensor has a home that it may not have")
