"""Precision and placement together: the program's solution, then a search on the real engine.

Large-neighbourhood search: the incumbent's homes say what every product would take in every
precision; a knapsack under the budgets picks precisions anew, with prices that are varied at
random or by the agent's precision head; the new choice is placed by a short search that begins
from the incumbent's homes. What the engine finds faster is kept.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from accelerator_sim.problem import PlacementProblem
from egrl.compression.joint.costs import ChoiceCosts
from egrl.compression.joint.decoder import PrecisionDecoder
from egrl.compression.joint.knapsack import cheapest
from egrl.compression.joint.model import Bounds, build_joint_model
from egrl.compression.joint.placed import Place, PlacedChoice, rounded_s
from egrl.compression.joint.proposals import Drawn, Proposals
from egrl.placers.milp import Limits, solve_program
from graph_ir.errors import UnmetRequirementError

B = TypeVar("B", PlacedChoice, PlacedChoice | None)

MAX_COLUMNS = 200_000
"""Combinations of a program that is worth its time where it was asked for."""

FEW_COLUMNS = 6_000
"""Combinations of one that takes no longer than the search does."""

FREE_SHARES = (1.0, 0.5, 0.25)
"""Shares of the products whose precision a round picks anew, in turns."""


@dataclass(frozen=True, slots=True)
class Effort:
    """How long the search may go on; the same numbers give the same result on any machine.

    Attributes:
        nodes: of the program's branch and bound; 0 leaves the program out.
        seconds: of the program; 0 is no limit, and any other depends on the machine.
        rounds: of the search on the engine.
        evaluations: of the placement of each choice.
        promotions: placements spent on finding weights that may as well be kept.
        columns: of the largest program that is solved.
    """

    nodes: int = 200
    seconds: float = 0.0
    rounds: int = 24
    evaluations: int = 2000
    promotions: int = 6
    columns: int = MAX_COLUMNS


@dataclass(slots=True)
class JointSearch:
    """Searches choices of one model on one target.

    Attributes:
        place: where choices are placed.
        problems: one for each precision, all products in it.
        costs: of all choices.
        effort: how long.
        decoder: of keys.
        proposals: gives keys.
        bytes_bound: whether bytes are bounded in the run under way.
    """

    place: Place
    problems: Sequence[PlacementProblem]
    costs: ChoiceCosts
    effort: Effort
    decoder: PrecisionDecoder
    proposals: Proposals
    bytes_bound: bool = False

    def run(self, bounds: Bounds, starts: Sequence[PlacedChoice]) -> PlacedChoice | None:
        """The fastest choice found that keeps to the bounds.

        Args:
            bounds: to keep to, by the sum of parts.
            starts: placed already; those that keep to the bounds are candidates.

        Returns:
            None where no choice keeps to the bounds.
        """
        self.bytes_bound = bounds.weight_bytes is not None
        best = min(
            (start for start in starts if self.keeps(start.choice_S, bounds)),
            key=self._order,
            default=None,
        )
        solved = self._program(bounds)
        for choice_S, homes in (solved, self._plainest(bounds)):
            if choice_S is not None and self.keeps(choice_S, bounds):
                best = self._better(best, choice_S, homes)
        if best is None:
            return None
        rng = np.random.default_rng(self.place.seed)
        self.proposals.begin()
        for turn in range(self.effort.rounds):
            keys = self.proposals.next(best, bounds, rng)
            free_S = rng.random(len(best.choice_S)) < FREE_SHARES[turn % len(FREE_SHARES)]
            choice_S = self.decoder.decode(best, bounds, keys, free_S)
            if choice_S is None:
                self.proposals.told(np.inf)
            elif choice_S == best.choice_S:
                self.proposals.told(best.latency_s)
            else:
                placed = self._placed(choice_S, [best.homes])
                self.proposals.told(np.inf if placed is None else placed.latency_s)
                best = self._faster(best, placed)
        return self._promoted(best)

    def _promoted(self, best: PlacedChoice) -> PlacedChoice:
        """Keeps the weights whose compression does not make the incumbent faster.

        Tries parts of the products, halved where a part makes it slower: what error they cost is
        free for others.
        """
        if self.bytes_bound:
            return best
        compressed = [s for s, precision in enumerate(best.choice_S) if precision]
        parts, tries = [compressed], 0
        while parts and tries < self.effort.promotions:
            part = parts.pop(0)
            choice_S = tuple(0 if s in part else p for s, p in enumerate(best.choice_S))
            if choice_S == best.choice_S:
                continue
            tries += 1
            better = self._better(best, choice_S, best.homes)
            if better is best and len(part) > 1:
                middle = len(part) // 2
                parts += [part[:middle], part[middle:]]
            best = better
        return best

    def keeps(self, choice_S: Sequence[int], bounds: Bounds) -> bool:
        """Whether the sum of parts keeps to the bounds."""
        if self.costs.error(choice_S) > bounds.error * (1 + 1e-9):
            return False
        return bounds.weight_bytes is None or (
            self.costs.weight_bytes(choice_S) <= bounds.weight_bytes
        )

    def _better(
        self, best: B, choice_S: tuple[int, ...], homes: dict[str, int]
    ) -> B | PlacedChoice:
        starts = [homes] if best is None else [homes, best.homes]
        return self._faster(best, self._placed(choice_S, starts))

    def _placed(
        self, choice_S: tuple[int, ...], starts: Sequence[Mapping[str, int]]
    ) -> PlacedChoice | None:
        """A choice, placed; None where it has no placement, though another may have one."""
        try:
            return self.place.place(choice_S, starts, self.effort.evaluations)
        except UnmetRequirementError:
            return None

    def _faster(self, best: B, placed: PlacedChoice | None) -> B | PlacedChoice:
        if placed is None:
            return best
        return placed if best is None or self._order(placed) < self._order(best) else best

    def _order(self, placed: PlacedChoice) -> tuple[float, float]:
        """Faster first; of equally fast ones the one with less error."""
        return rounded_s(placed), self.costs.error(placed.choice_S)

    def _program(self, bounds: Bounds) -> tuple[tuple[int, ...] | None, dict[str, int]]:
        if self.effort.nodes == 0:
            return None, {}
        try:
            model = build_joint_model(self.problems, self.costs, bounds, self.effort.columns)
        except UnmetRequirementError:
            return None, {}  # Too large to be of use; the search goes on without.
        solved = solve_program(model.program, Limits(self.effort.seconds, self.effort.nodes))
        if not len(solved.values):
            return None, {}
        return self.costs.real(model.choice(solved.values)), model.homes(solved.values)

    def _plainest(self, bounds: Bounds) -> tuple[tuple[int, ...] | None, dict[str, int]]:
        """The choice of the least error that has the bytes."""
        if bounds.weight_bytes is None:
            return (0,) * len(self.costs.ops_of_product), {}
        left = np.array([float(bounds.weight_bytes - self.costs.other_bytes)])
        sizes_SPB = self.costs.bytes_SP[:, :, None].astype(np.float64)
        found = cheapest(self.costs.error_squared_SP, sizes_SPB, left)
        return (None if found is None else self.costs.real(found.tolist())), {}


def joint_search(
    place: Place,
    problems: Sequence[PlacementProblem],
    costs: ChoiceCosts,
    effort: Effort,
    proposals: Callable[[PrecisionDecoder], Proposals] | None = None,
) -> JointSearch:
    """A search of one model on one target.

    Args:
        place: where choices are placed.
        problems: one for each precision, all products in it.
        costs: of all choices.
        effort: how long.
        proposals: makes what gives keys; None for keys at random.
    """
    decoder = PrecisionDecoder(problems, costs, place.accelerator)
    made = Drawn(costs) if proposals is None else proposals(decoder)
    return JointSearch(place, problems, costs, effort, decoder, made)
