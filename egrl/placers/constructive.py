"""What the constructive placers share: one placement by a stated rule, whatever the budget."""

from abc import abstractmethod
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from accelerator_sim.engine import evaluate
from accelerator_sim.problem import PlacementProblem
from accelerator_sim.rectify import build_rectifier
from accelerator_sim.value import ordered_homes
from egrl.placers.addressable import offer_addressable
from egrl.placers.base import Budget, Placer, PlacerResult, Progress, Search, no_progress
from egrl.placers.decoder import Decoder, build_decoder


@dataclass(frozen=True, slots=True)
class ConstructivePlacer(Placer):
    """A placer that builds one placement with the greedy decoder and without randomness.

    Inside a tier the home that takes fewest bytes of it comes first (partitioned before
    replicated). What is pinned is placed before all else, and the staging ring is reserved from
    the beginning unless every weight and state ends up in the innermost tier (`decoder.py`).
    """

    @abstractmethod
    def homes(self, problem: PlacementProblem, decoder: Decoder) -> NDArray[np.int8]:
        """The placement: int8, fitting by live bytes."""

    def place(
        self,
        problem: PlacementProblem,
        budget: Budget,
        rng: np.random.Generator,
        progress: Progress = no_progress,
    ) -> PlacerResult:
        """See `Placer.place`."""
        search = Search(problem, budget, progress)
        decoder = build_decoder(problem)
        homes_T = self.homes(problem, decoder)
        latency_s, _ = evaluate(problem, homes_T)
        search.evaluations = 1
        rectifier = build_rectifier(problem, decoder.tables, decoder.values)
        offer_addressable(search, rectifier, homes_T, latency_s)
        return search.result()


def fewest_bytes_first(problem: PlacementProblem) -> NDArray[np.int8]:
    """Homes to try for each tensor, -1 after the last: innermost tier first, then fewest bytes."""
    return ordered_homes(problem, np.zeros(problem.allowed_TH.shape))


def outermost_homes(problem: PlacementProblem) -> NDArray[np.int64]:
    """The first allowed home of every tensor, which is in its outermost tier."""
    first_T: NDArray[np.int64] = problem.allowed_TH.argmax(axis=1).astype(np.int64)
    return first_T
