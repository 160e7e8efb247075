"""What the searches share: tables, a start, and offers that end in placements with addresses."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from accelerator_sim.addresses import allocate_tiers
from accelerator_sim.engine import evaluate
from accelerator_sim.incremental.moves import build_state, reset
from accelerator_sim.incremental.state import State
from accelerator_sim.problem import PlacementProblem
from accelerator_sim.rectify import Rectifier, build_rectifier
from egrl.placers.acts_first import acts_first_order
from egrl.placers.addressable import offer_addressable
from egrl.placers.base import Budget, Progress, Search
from egrl.placers.constructive import fewest_bytes_first
from egrl.placers.decoder import Decoder, build_decoder
from egrl.placers.greedy import density_order
from egrl.placers.local_search import search_steps
from egrl.placers.native import execution_order
from graph_ir.errors import UnmetRequirementError

I8 = NDArray[np.int8]
I64 = NDArray[np.int64]


@dataclass(slots=True)
class Session:
    """A search under way.

    Attributes:
        search: incumbent, budget and clock.
        decoder: of the problem.
        rectifier: of the problem.
        cost_TH: seconds per byte and op that demoting a tensor from a home costs.
        bias_TH: zeros, since the engine decides here.
        random: state of the compiled loop's generator.
        capacity_bytes_L: what the local searches keep to: less than the accelerator's where the
            allocator needed more room than what is live.
        best_T: of the local searches; may lack addresses.
        best_s: its latency.
    """

    search: Search
    decoder: Decoder
    rectifier: Rectifier
    cost_TH: NDArray[np.float64]
    bias_TH: NDArray[np.float64]
    random: NDArray[np.uint64]
    capacity_bytes_L: I64
    best_T: I8
    best_s: float

    @property
    def free(self) -> I64:
        """Tensors that have a choice."""
        return self.decoder.free

    def state(self, homes_T: I8) -> State:
        """The incremental state of a placement, rectified into what capacity is left."""
        batch = self.rectifier.batch(homes_T[np.newaxis, :], self.capacity_bytes_L)
        return build_state(self.decoder.tables, batch.homes_PT[0])

    def walk(
        self,
        state: State,
        pool: I64,
        temperature_s: tuple[float, float],
        evaluations: int,
        noise: float,
        refills: int,
    ) -> None:
        """Run the compiled loop from `state`, which moves on, and offer what it finds.

        Args:
            state: of a placement that fits.
            pool: tensors to pick from.
            temperature_s: at the beginning and at the end.
            evaluations: at most so many, and no more than the budget has left.
            noise: see `local_search.py`.
            refills: likewise.
        """
        if self.search.budget.evaluations is not None:
            evaluations = min(evaluations, self.search.budget.evaluations - self.search.evaluations)
        tables = self.decoder.tables._replace(capacity_bytes_L=self.capacity_bytes_L)
        found_T = self.best_T.copy()
        found_s, used = search_steps(
            tables, state, self.free, pool, self.cost_TH, self.bias_TH, noise, refills, self.random,
            *temperature_s, max(1, evaluations), found_T, self.best_s,
        )  # fmt: skip
        # A walk that finds nothing to time has used up its share, so that the search ends.
        self.search.evaluations += int(used) or max(1, evaluations)
        reset(tables, state)
        if found_s < self.best_s:
            self.offer(found_T)

    def offer(self, homes_T: I8) -> None:
        """Offer a placement that fits; where it has no addresses, keep to less capacity."""
        latency_s, _ = evaluate(self.search.problem, homes_T)
        if offer_addressable(self.search, self.rectifier, homes_T, latency_s):
            assert self.search.best_homes_T is not None
            if np.array_equal(self.search.best_homes_T, homes_T):
                self.best_T, self.best_s = homes_T, latency_s
                return
        self._tighten(homes_T)
        assert self.search.best_homes_T is not None
        self.best_T, self.best_s = self.search.best_homes_T, self.search.best_s

    def relax(self) -> None:
        """Count on all capacity again."""
        self.capacity_bytes_L = self.decoder.tables.capacity_bytes_L.copy()

    def _tighten(self, homes_T: I8) -> None:
        full_L = self.decoder.tables.capacity_bytes_L
        for k, found in enumerate(allocate_tiers(self.search.problem, homes_T.tolist())):
            if not found.allocation.feasible:
                missing = int(found.allocation.height_bytes) - int(full_L[k])
                self.capacity_bytes_L[k] -= max(1, missing)


def begin(
    problem: PlacementProblem,
    budget: Budget,
    rng: np.random.Generator,
    progress: Progress,
    start_T: I8 | None,
    default_evaluations: int,
) -> Session:
    """Begin a search from a placement, or from the best of three greedy ones.

    Args:
        problem: the problem.
        budget: when to stop.
        rng: source of all randomness.
        progress: told of improvements.
        start_T: int8, a placement to begin with, or None.
        default_evaluations: where the budget sets no limit.

    Raises:
        UnmetRequirementError: nothing feasible was found.
    """
    if budget.evaluations is None and budget.seconds is None:
        budget = Budget(evaluations=default_evaluations)
    search = Search(problem, budget, progress)
    decoder = build_decoder(problem)
    rectifier = build_rectifier(problem, decoder.tables, decoder.values)
    failure: UnmetRequirementError | None = None
    for start in _starts(problem, decoder, start_T):
        if search.exhausted and search.best_homes_T is not None:
            break
        try:
            homes_T = start()
        except UnmetRequirementError as error:
            failure = error
            continue
        latency_s, overflow_bytes = evaluate(problem, homes_T)
        search.evaluations += 1
        if overflow_bytes <= 0:
            offer_addressable(search, rectifier, homes_T, latency_s)
    if search.best_homes_T is None:
        raise failure or UnmetRequirementError("placement: found nothing feasible to begin with")
    return session_from_incumbent(search, decoder, rectifier, rng)


def session_from_incumbent(
    search: Search, decoder: Decoder, rectifier: Rectifier, rng: np.random.Generator
) -> Session:
    """Go on from the incumbent of a search, which must have one."""
    assert search.best_homes_T is not None
    problem = search.problem
    return Session(
        search,
        decoder,
        rectifier,
        demotion_cost(problem, rectifier),
        np.zeros(problem.allowed_TH.shape),
        rng.integers(1, 2**63, 1).astype(np.uint64),
        decoder.tables.capacity_bytes_L.copy(),
        search.best_homes_T,
        search.best_s,
    )


def _starts(
    problem: PlacementProblem, decoder: Decoder, start_T: I8 | None
) -> list[Callable[[], I8]]:
    if start_T is not None:
        return [lambda: np.array(start_T, np.int8)]
    choices_TH = fewest_bytes_first(problem)
    return [
        lambda: decoder.decode(density_order(problem, decoder), choices_TH),
        lambda: decoder.decode(acts_first_order(problem, decoder), choices_TH),
        lambda: decoder.decode(execution_order(problem), choices_TH),
    ]


def demotion_cost(problem: PlacementProblem, rectifier: Rectifier) -> NDArray[np.float64]:
    """What a byte and op of space would lose; never 0, so that noise tells equals apart."""
    seconds_TH, outward_TH = rectifier.values.seconds_TH, rectifier.outward_TH
    a = problem.arrays
    moves_TH = problem.allowed_TH & (outward_TH >= 0)
    lost_TH = np.zeros(seconds_TH.shape)
    outward_s_TH = np.take_along_axis(seconds_TH, np.maximum(0, outward_TH), axis=1)
    np.subtract(outward_s_TH, seconds_TH, lost_TH, where=moves_TH)
    space_TH = a.size_bytes_TH * np.maximum(1, a.end_T - a.start_T)[:, np.newaxis]
    cost_TH = np.maximum(lost_TH, 1e-12) / np.maximum(1, space_TH)
    return np.where(moves_TH, cost_TH, 0.0)
