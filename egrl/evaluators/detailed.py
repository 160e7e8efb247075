"""The detailed model as a machine: tiles, bursts, queues and banks, which the engine ignores."""

import multiprocessing
import signal
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from accelerator_sim.accelerator import Accelerator, Home
from accelerator_sim.detailed import DetailedModel, DetailedParameters
from accelerator_sim.problem import PlacementProblem
from graph_ir.workload import Workload

DEFAULTS = DetailedParameters()

_worker_models: list[tuple[DetailedModel, Sequence[Home]]] = []
"""The model of this process, where it is a worker, and the homes that placements choose from."""


class DetailedEvaluator:
    """Simulates every placement tile by tile.

    Memory pages are hashed from the tensors' names, so a placement has one latency, whatever
    addresses it is given. With several processes, `close` it or use it in a `with` statement.
    """

    def __init__(
        self,
        problem: PlacementProblem,
        parameters: DetailedParameters = DEFAULTS,
        processes: int = 1,
    ) -> None:
        """Prepare.

        Args:
            problem: what is placed.
            parameters: of the model.
            processes: at most so many simulate at once; the results are the same.
        """
        self._homes = problem.homes
        self._model_arguments = (problem.workload, problem.accelerator, parameters)
        self._processes = processes
        self._model = DetailedModel(*self._model_arguments) if processes <= 1 else None
        self._pool: ProcessPoolExecutor | None = None

    def measure(self, homes_PT: NDArray[np.int8]) -> NDArray[np.float64]:
        """See `Evaluator.measure`; the model never fails."""
        if self._model is not None:
            return self._model.latencies(self._homes, homes_PT)
        parts = np.array_split(homes_PT, min(self._processes, max(1, len(homes_PT))))
        return np.concatenate(list(self._workers().map(_simulate, parts)))

    def close(self) -> None:
        """End the processes; the next `measure` starts them again."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None

    def __enter__(self) -> "DetailedEvaluator":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _workers(self) -> ProcessPoolExecutor:
        if self._pool is None:
            self._pool = ProcessPoolExecutor(
                self._processes,
                mp_context=multiprocessing.get_context("spawn"),
                initializer=_start,
                initargs=(self._homes, *self._model_arguments),
            )
        return self._pool


def _start(
    homes: Sequence[Home],
    workload: Workload,
    accelerator: Accelerator,
    parameters: DetailedParameters,
) -> None:
    # An interrupt from the terminal reaches every process; the parent decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _worker_models.append((DetailedModel(workload, accelerator, parameters), homes))


def _simulate(homes_PT: NDArray[np.int8]) -> NDArray[np.float64]:
    model, homes = _worker_models[0]
    return model.latencies(homes, homes_PT)
