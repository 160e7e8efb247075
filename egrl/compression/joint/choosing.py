"""The loop of `--compress auto`: search under the model of the error, measure, correct, repeat."""

from collections.abc import Sequence, Set
from dataclasses import dataclass
from functools import partial

import numpy as np

from egrl.agents.egrl.checkpoint import load_policy
from egrl.compression.joint.choices import KEEP, Precisions
from egrl.compression.joint.costs import ChoiceCosts
from egrl.compression.joint.goal import AutoOptions, Goal, Search
from egrl.compression.joint.head import load_head
from egrl.compression.joint.knapsack import cheapest
from egrl.compression.joint.model import Bounds
from egrl.compression.joint.placed import Place, PlacedChoice, rounded_s
from egrl.compression.joint.proposals import precision_agent
from egrl.compression.joint.search import (
    FEW_COLUMNS,
    MAX_COLUMNS,
    Effort,
    JointSearch,
    joint_search,
)
from egrl.compression.joint.trial import Trial
from graph_ir.errors import UnmetRequirementError

LEEWAY = 1.05
"""Where only bytes are bounded: this much more than the least error that has them, so that there
is a choice left to the placement."""

SLACK = 0.97
"""A measured error below this share of the bound is worth another round."""


@dataclass(slots=True)
class Choosing:
    """The loop of searching and measuring.

    Attributes:
        goal: to reach.
        options: of the search.
        precisions: of the model.
        costs: by the sum of parts.
        trial: that measures.
        where: the model's path.
    """

    goal: Goal
    options: AutoOptions
    precisions: Precisions
    costs: ChoiceCosts
    trial: Trial
    where: str

    def best(self, starts: Sequence[PlacedChoice] = ()) -> PlacedChoice:
        """The fastest choice measured to keep to the bounds.

        Args:
            starts: placed already; candidates as far as they keep to the bounds.

        Raises:
            UnmetRequirementError: there is none.
        """
        search = self._search()
        place = search.place
        if self.goal.max_error is None:
            return self._smallest(search)
        found = [start for start in starts if self._keeps(start.choice_S)]
        found += self._uniform(place, {start.choice_S for start in found})
        scale = self._scale(found)
        seen = set()
        for _ in range(self.options.repairs + 1):
            bounds = Bounds(self.goal.max_error / scale, self.goal.max_bytes)
            placed = search.run(bounds, found)
            if placed is None or placed.choice_S in seen:
                break
            seen.add(placed.choice_S)
            error = self.trial.error(placed.choice_S)
            if self._keeps(placed.choice_S):
                found.append(placed)
                if error >= SLACK * self.goal.max_error:
                    break
            predicted = self.costs.error(placed.choice_S)
            if predicted <= 0 or (
                error <= self.goal.max_error and predicted < SLACK * bounds.error
            ):
                break  # More room for error would not be used.
            scale = error / predicted * (1.0 if error <= self.goal.max_error else 1.02)
        if not found:
            raise self._unmet()
        return min(found, key=self._order)

    def _search(self) -> JointSearch:
        """The search that the options, or else the placer, ask for."""
        target, options = self.goal.target, self.options
        kind = options.searched_by(target.placer)
        policy = load_policy() if kind is Search.AGENT else None
        place = Place(self.precisions, target.accelerator, target.pins, self.goal.seed, policy)
        problems = [place.price_problem(p) for p in range(self.precisions.count)]
        effort = Effort(
            0 if kind is Search.AGENT else options.nodes,
            0.0,
            options.rounds,
            options.evaluations,
            columns=MAX_COLUMNS if kind is Search.PROGRAM else FEW_COLUMNS,
        )
        if policy is None:
            return joint_search(place, problems, self.costs, effort)
        traits = self.precisions.traits
        agent = partial(precision_agent, load_head(), policy, self.costs, traits)
        return joint_search(place, problems, self.costs, effort, agent)

    def _order(self, placed: PlacedChoice) -> tuple[float, float]:
        """Faster first; of equally fast ones the one with less error."""
        error = self.trial.error(placed.choice_S) if any(placed.choice_S) else 0.0
        return rounded_s(placed), error

    def told(self, best: PlacedChoice) -> dict[str, str]:
        """What the manifest says of the choice beside its layers."""
        counts = np.bincount(best.choice_S, minlength=self.precisions.count).tolist()
        names = self.precisions.names
        chosen = ", ".join(f"{count} {name}" for name, count in zip(names, counts, strict=True))
        return {
            "chosen": chosen,
            "predicted_error": f"{self.costs.error(best.choice_S):.6g}",
            "weight_bytes": str(self.costs.weight_bytes(best.choice_S)),
        }

    def _uniform(self, place: Place, known: Set[tuple[int, ...]]) -> list[PlacedChoice]:
        """All products in one precision, placed, as far as that keeps to the bounds.

        From the smallest on, up to the first that does; keeping everything is one of them. With
        activations of bytes and of floats each. Those that are known are left out.
        """
        choices = [self.precisions.uniform(p) for p in range(self.precisions.count)]
        choices.sort(key=lambda choice_S: (self.costs.weight_bytes(choice_S), choice_S))
        evaluations = self.options.rounds * self.options.evaluations
        found: dict[bool, PlacedChoice | None] = {}
        for choice_S in choices:
            kind = self.precisions.reads_bytes(choice_S)
            if kind not in found and self._keeps(choice_S):
                found[kind] = None if choice_S in known else place.place(choice_S, [], evaluations)
        return [placed for placed in found.values() if placed is not None]

    def _keeps(self, choice_S: tuple[int, ...]) -> bool:
        """Whether a choice keeps to the bounds, as it is measured."""
        most = self.goal.max_bytes
        if most is not None and self.costs.weight_bytes(choice_S) > most:
            return False
        if not any(choice_S) and not self.trial.corrections:
            return True
        assert self.goal.max_error is not None
        return self.trial.error(choice_S) <= self.goal.max_error

    def _scale(self, found: Sequence[PlacedChoice]) -> float:
        """Measured error over the sum of parts, of what was measured so far."""
        ratios = [
            error / self.costs.error(choice_S)
            for choice_S, error in self.trial.measured.items()
            if error > 0 and self.costs.error(choice_S) > 0
        ]
        return max(1e-6, float(np.median(ratios))) if ratios else 1.0

    def _smallest(self, search: JointSearch) -> PlacedChoice:
        """Only bytes are bounded: about the least error that has them, and then the fastest."""
        assert self.goal.max_bytes is not None
        left = np.array([float(self.goal.max_bytes - self.costs.other_bytes)])
        sizes_SPB = self.costs.bytes_SP[:, :, None].astype(np.float64)
        plainest = cheapest(self.costs.error_squared_SP, sizes_SPB, left)
        if plainest is None:
            raise self._unmet()
        error = LEEWAY * self.costs.error(tuple(plainest.tolist()))
        placed = search.run(Bounds(max(error, 1e-12), self.goal.max_bytes), [])
        if placed is None:
            raise self._unmet()
        return placed

    def _unmet(self) -> UnmetRequirementError:
        least = self.costs.other_bytes + int(self.costs.bytes_SP.min(axis=1).sum())
        asked = []
        if self.goal.max_error is not None:
            asked.append(f"--max-error {self.goal.max_error:g}")
        if self.goal.max_bytes is not None:
            asked.append(f"--max-bytes {self.goal.max_bytes}")
        return UnmetRequirementError(
            f"{self.where}: no choice of precisions keeps to {' and '.join(asked)}",
            (
                f"weights take {self.costs.weight_bytes(self.precisions.uniform(KEEP))} bytes as "
                f"they are, {least} at the smallest precisions",
                *(
                    f"measured: error {error:.4g} with {self.costs.weight_bytes(choice_S)} bytes"
                    for choice_S, error in self.trial.measured.items()
                ),
            ),
        )
