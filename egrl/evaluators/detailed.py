"""The detailed model as a machine: tiles, bursts, queues and banks, which the engine ignores."""

import multiprocessing
import signal
from concurrent.futures import ProcessPoolExecutor
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from accelerator_sim.accelerator import Accelerator, Home
from accelerator_sim.detailed import DetailedModel, DetailedParameters
from accelerator_sim.problem import PlacementProblem
from graph_ir.workload import Workload

DEFAULTS = DetailedParameters()

_worker_models: list[DetailedModel] = []
"""The model of this process, where it is a worker."""


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
        self._problem = problem
        self._arguments = (problem.workload, problem.accelerator, parameters)
        self._processes = processes
        self._model = DetailedModel(*self._arguments) if processes <= 1 else None
        self._pool: ProcessPoolExecutor | None = None

    def measure(self, homes_PT: NDArray[np.int8]) -> NDArray[np.float64]:
        """See `Evaluator.measure`; the model never fails."""
        homes = self._problem.homes
        placements = [[homes[home] for home in homes_T] for homes_T in homes_PT.tolist()]
        if self._model is not None:
            latencies = [self._model.simulate(placement).latency_s for placement in placements]
        else:
            latencies = list(self._workers().map(_simulate, placements))
        return np.array(latencies, np.float64)

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
                initargs=self._arguments,
            )
        return self._pool


def _start(workload: Workload, accelerator: Accelerator, parameters: DetailedParameters) -> None:
    # An interrupt from the terminal reaches every process; the parent decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _worker_models.append(DetailedModel(workload, accelerator, parameters))


def _simulate(placement: list[Home]) -> float:
    return _worker_models[0].simulate(placement).latency_s
