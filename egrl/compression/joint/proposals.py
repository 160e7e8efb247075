"""Who proposes the keys of the next choice: chance, or the agent's precision head.

The agent keeps a population: newcomers are samples around what the head says of the incumbent as
it is now, children take each product's keys from one of two of the best so far (biased random
keys, as `egrl.agents.egrl.population` does with tensors).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from egrl.agents.egrl.checkpoint import Policy
from egrl.compression.joint.costs import ChoiceCosts
from egrl.compression.joint.decoder import PrecisionDecoder
from egrl.compression.joint.head import Genes, Head, noisy, propose
from egrl.compression.joint.head_view import (
    HeadView,
    Trait,
    choice_features,
    product_embeddings,
)
from egrl.compression.joint.keys import Keys, draw_keys
from egrl.compression.joint.model import Bounds
from egrl.compression.joint.placed import PlacedChoice

F32 = NDArray[np.float32]

ELITES = 4
"""Genes that breed."""

NEWCOMERS = 0.5
"""Share of the proposals that are samples of the head once there are elites to breed."""

SCALES = (0.0, 0.5, 1.0, 2.0)
"""Of the noise around the head; newcomers take turns."""

ELITE_BIAS = 0.7
"""Probability that a product's keys come from the better parent."""

JITTER = 0.5
"""Of the noise on a child."""


class Proposals(Protocol):
    """Gives keys, and is told what became of them."""

    def begin(self) -> None:
        """A new run: bounds may have changed."""

    def next(self, best: PlacedChoice, bounds: Bounds, rng: np.random.Generator) -> Keys:
        """Keys of the next choice."""

    def told(self, seconds: float) -> None:
        """The latency that the last keys were decoded to; infinite where to nothing."""


@dataclass(slots=True)
class Drawn:
    """The untrained rule: keys at random.

    Attributes:
        costs: of all choices.
    """

    costs: ChoiceCosts

    def begin(self) -> None:
        """Nothing is kept from run to run."""

    def next(self, best: PlacedChoice, bounds: Bounds, rng: np.random.Generator) -> Keys:
        """See `Proposals`."""
        products, precisions = self.costs.error_squared_SP.shape
        return draw_keys(rng, (products, precisions))

    def told(self, seconds: float) -> None:
        """Nothing is learned."""


@dataclass(slots=True)
class PrecisionAgent:
    """Keys of the precision head, bred.

    Attributes:
        head: trained.
        product_SD: of the graph network.
        costs: of all choices.
        traits: of the precisions.
        decoder: that looks up prices.
        elites: the best genes so far with their latencies, best first.
        asked: the genes that were given last.
        turns: newcomers so far.
    """

    head: Head
    product_SD: F32
    costs: ChoiceCosts
    traits: Sequence[Trait]
    decoder: PrecisionDecoder
    elites: list[tuple[float, Genes]] = field(default_factory=list)
    asked: Genes | None = None
    turns: int = 0

    def begin(self) -> None:
        """Forgets genes of other bounds."""
        self.elites, self.asked, self.turns = [], None, 0

    def view(self, best: PlacedChoice, bounds: Bounds) -> HeadView:
        """What the head sees with an incumbent."""
        inner = int(best.problem.arrays.capacity_bytes_L[-1])
        choice_SPF = choice_features(
            self.decoder.prices(best.homes), self.costs, bounds, self.traits, best.choice_S,
            best.latency_s, inner,
        )  # fmt: skip
        return HeadView(self.product_SD, choice_SPF)

    def next(self, best: PlacedChoice, bounds: Bounds, rng: np.random.Generator) -> Keys:
        """See `Proposals`."""
        if len(self.elites) < 2 or rng.random() < NEWCOMERS:
            genes = propose(self.head.weights, self.view(best, bounds))
            genes = noisy(genes, rng, SCALES[self.turns % len(SCALES)])
            self.turns += 1
        else:
            genes = self._child(rng)
        self.asked = genes
        return genes.keys()

    def told(self, seconds: float) -> None:
        """See `Proposals`."""
        assert self.asked is not None
        if np.isfinite(seconds):
            self.elites.append((seconds, self.asked))
            self.elites.sort(key=lambda pair: pair[0])
            del self.elites[ELITES:]

    def _child(self, rng: np.random.Generator) -> Genes:
        first, second = sorted(rng.choice(len(self.elites), 2, replace=False).tolist())
        better, other = self.elites[first][1], self.elites[second][1]
        products = len(better.price_SP)
        mine_S = rng.random(products) < ELITE_BIAS
        price_SP = np.where(mine_S[:, np.newaxis], better.price_SP, other.price_SP)
        mine_2 = rng.random(2) < ELITE_BIAS
        worth_2 = np.where(mine_2, better.worth_2, other.worth_2)
        return noisy(Genes(worth_2, price_SP), rng, JITTER)


def precision_agent(
    head: Head,
    policy: Policy,
    costs: ChoiceCosts,
    traits: Sequence[Trait],
    decoder: PrecisionDecoder,
) -> PrecisionAgent:
    """The agent for one model on one target.

    Args:
        head: trained.
        policy: whose graph network the head reads.
        costs: of all choices.
        traits: of the precisions.
        decoder: of the choices.
    """
    product_SD = product_embeddings(policy, decoder.problems[0], costs)
    return PrecisionAgent(head, product_SD, costs, traits, decoder)
