"""A choice of precisions placed on the real engine, from whatever homes are known already."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from accelerator_sim.accelerator import Accelerator
from accelerator_sim.engine import evaluate
from accelerator_sim.problem import PlacementProblem, build_problem
from egrl.agents.egrl.checkpoint import Policy
from egrl.agents.egrl.zero_shot import zero_shot
from egrl.placers.addressable import offer_addressable
from egrl.placers.base import Budget, no_progress
from egrl.placers.improver import Improver
from egrl.placers.session import Session, begin
from graph_ir.workload import Workload

POLICY_SAMPLES = 14
"""Placements around the policy's own, where a choice is placed with one."""


class Mixtures(Protocol):
    """Workloads of choices; `Precisions` of a model, or a generated one to learn from."""

    def workload(self, choice_S: Sequence[int]) -> Workload:
        """The workload in which product s has precision `choice_S[s]`."""

    def price_workload(self, precision: int) -> Workload:
        """The workload to price products in one precision by."""


@dataclass(frozen=True, slots=True)
class PlacedChoice:
    """Precisions and homes together.

    Attributes:
        choice_S: precision of each product.
        problem: of the workload with these precisions.
        homes_T: int8, the best placement found; it fits and has addresses.
        latency_s: by the engine.
    """

    choice_S: tuple[int, ...]
    problem: PlacementProblem
    homes_T: NDArray[np.int8]
    latency_s: float

    @property
    def homes(self) -> dict[str, int]:
        """Homes by tensor name."""
        names = (tensor.name for tensor in self.problem.workload.tensors)
        return dict(zip(names, self.homes_T.tolist(), strict=True))


@dataclass(frozen=True, slots=True)
class Place:
    """Where choices are placed.

    Attributes:
        precisions: of the model.
        accelerator: the target.
        pins: tensor name to home name; those that a choice has no tensor for do not bind it.
        seed: of the searches.
        policy: whose placements of a choice are starts as well; None for no such starts.
    """

    precisions: Mixtures
    accelerator: Accelerator
    pins: Mapping[str, str]
    seed: int
    policy: Policy | None = None

    def problem(self, choice_S: Sequence[int]) -> PlacementProblem:
        """The placement problem of a choice.

        Raises:
            UnmetRequirementError: a tensor fits nowhere.
        """
        return self._problem(self.precisions.workload(choice_S))

    def price_problem(self, precision: int) -> PlacementProblem:
        """The problem to price products in one precision by, all of them in it.

        Raises:
            UnmetRequirementError: a tensor fits nowhere.
        """
        return self._problem(self.precisions.price_workload(precision))

    def _problem(self, workload: Workload) -> PlacementProblem:
        names = {tensor.name for tensor in workload.tensors}
        pins = {name: home for name, home in self.pins.items() if name in names}
        return build_problem(workload, self.accelerator, pins)

    def place(
        self,
        choice_S: Sequence[int],
        starts: Sequence[Mapping[str, int]],
        evaluations: int,
    ) -> PlacedChoice:
        """The best placement that a short search finds.

        Args:
            choice_S: precision of each product.
            starts: homes by tensor name to begin from, beside the usual ones; a tensor that a
                start does not name is put where the other weights of its op are.
            evaluations: of the search.

        Raises:
            UnmetRequirementError: nothing feasible was found.
        """
        problem = self.problem(choice_S)
        rng = np.random.default_rng(self.seed)
        session = begin(
            problem, Budget(evaluations=evaluations), rng, no_progress, None, evaluations
        )
        for start in starts:
            batch = session.rectifier.batch(named_homes(problem, start)[np.newaxis, :])
            if batch.fits_P[0]:
                latency_s, _ = evaluate(problem, batch.homes_PT[0])
                session.search.evaluations += 1
                offer_addressable(session.search, session.rectifier, batch.homes_PT[0], latency_s)
        if self.policy is not None:
            self._offer_policy(session, self.policy, rng)
        improver = Improver(session)
        while not session.search.exhausted:
            left = evaluations - session.search.evaluations
            improver.for_evaluations(min(left, max(100, evaluations // 4)))
        found = session.search.result()
        return PlacedChoice(tuple(choice_S), problem, found.homes_T, found.latency_s)

    def _offer_policy(self, session: Session, policy: Policy, rng: np.random.Generator) -> None:
        """The placement of the policy's keys, and the best of some around them."""
        search = session.search
        shot = zero_shot(search.problem, session.decoder, session.rectifier, policy, rng)
        homes_PT = np.concatenate([shot.first(), shot.samples(POLICY_SAMPLES, rng)])
        if len(homes_PT):
            latency_P = search.measure(homes_PT)
            best = int(latency_P.argmin())
            if latency_P[best] < search.best_s:
                offer_addressable(search, session.rectifier, homes_PT[best], float(latency_P[best]))


def rounded_s(placed: PlacedChoice) -> float:
    """Latency to nine digits, within which placements count as equally fast."""
    return float(f"{placed.latency_s:.8e}")


def named_homes(problem: PlacementProblem, homes: Mapping[str, int]) -> NDArray[np.int8]:
    """A placement from homes by name; what has no allowed one is put beside its op's weights.

    Returns:
        int8, a home per tensor; it need not fit.
    """
    homes_T: NDArray[np.int8] = problem.allowed_TH.argmax(axis=1).astype(np.int8)
    known_T = np.zeros(problem.tensor_count, np.bool_)
    for t, tensor in enumerate(problem.workload.tensors):
        home = homes.get(tensor.name)
        if home is not None and problem.allowed_TH[t, home]:
            homes_T[t], known_T[t] = home, True
    for op in problem.workload.ops:
        beside = [homes_of for o in op.operands if (homes_of := _named(homes, o.tensor, problem))]
        for operand in op.operands:
            t = operand.tensor
            if not known_T[t] and beside and problem.allowed_TH[t, max(beside)]:
                homes_T[t], known_T[t] = max(beside), True
    return homes_T


def _named(homes: Mapping[str, int], tensor: int, problem: PlacementProblem) -> int:
    return homes.get(problem.workload.tensors[tensor].name, 0)
