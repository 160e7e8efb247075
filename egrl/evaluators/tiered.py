"""The memories of this computer as a machine: every placement is executed with its transfers."""

import statistics
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from accelerator_sim.plan_builder import build_plan
from accelerator_sim.problem import PlacementProblem
from accelerator_sim.reference_engine import simulate
from graph_ir.errors import UnmetRequirementError
from runtime.tiered.machine import LoadedModel, Overlap, TieredMachine


class TieredEvaluator:
    """Executes placements one after another on a real tiered machine (`runtime/tiered/`)."""

    def __init__(
        self,
        model: LoadedModel,
        problem: PlacementProblem,
        inputs: Mapping[str, NDArray[np.generic]],
        overlap: Overlap = "whole",
        runs: int = 1,
    ) -> None:
        """Prepare.

        Args:
            model: what is executed.
            problem: its workload on an accelerator that says what this machine is.
            inputs: of the graph.
            overlap: how an op is executed; see `runtime/tiered/machine.py`.
            runs: whose median counts, after one that does not.
        """
        self._model, self._problem, self._inputs = model, problem, inputs
        self._overlap: Overlap = overlap
        self._runs = runs

    def measure(self, homes_PT: NDArray[np.int8]) -> NDArray[np.float64]:
        """See `Evaluator.measure`; what has no addresses cannot be executed."""
        return np.array([self._latency_s(homes_T.tolist()) for homes_T in homes_PT], np.float64)

    def _latency_s(self, homes: list[int]) -> float:
        problem = self._problem
        try:
            plan = build_plan(problem, homes, simulate(problem, homes))
        except UnmetRequirementError:
            return float("nan")
        with TieredMachine(self._model, problem, homes, plan, self._overlap) as machine:
            seconds = []
            for _ in range(1 + self._runs):
                # A plan may give the memory of an input to something else once it has been read.
                machine.set_inputs(self._inputs)
                seconds.append(machine.run().latency_s)
        return statistics.median(seconds[1:])
