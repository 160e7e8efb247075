"""Crossover within and across the two encodings.

The supplement crosses two chromosomes with a mask that is never true, so that one simply becomes
the other; here the mask has a real threshold.
"""

from collections.abc import Callable

import numpy as np

from egrl.agents.paper.config import PaperConfig
from egrl.agents.paper.genome import F32, F64, BoltzmannGenome, Genome, GnnGenome, seeded

Logits = Callable[[GnnGenome], F64]
"""The raw logits [N, S, H] of a policy where everything is outermost."""


def cross(
    first: Genome, second: Genome, logits: Logits, config: PaperConfig, rng: np.random.Generator
) -> tuple[Genome, Genome]:
    """Cross two genomes; each child has the encoding of its parent.

    Args:
        first: a parent.
        second: a parent.
        logits: of a policy, to seed a chromosome from it.
        config: rates.
        rng: source of all randomness.
    """
    if isinstance(first, GnnGenome) and isinstance(second, GnnGenome):
        return _cross_networks(first, second, config, rng)
    if isinstance(first, BoltzmannGenome) and isinstance(second, BoltzmannGenome):
        return _cross_chromosomes(first, second, config, rng)
    if isinstance(first, GnnGenome):
        assert isinstance(second, BoltzmannGenome)
        return first, seeded(second, logits(first))
    assert isinstance(second, GnnGenome)
    return seeded(first, logits(second)), second


def take_over(source: Genome, slot: Genome, logits: Logits) -> Genome:
    """What becomes of a slot into which an individual is copied.

    Slots keep their encoding: a chromosome takes a policy's logits as its prior; a policy cannot
    take over a chromosome and stays as it is.
    """
    if isinstance(slot, GnnGenome):
        return source if isinstance(source, GnnGenome) else slot
    return seeded(slot, logits(source)) if isinstance(source, GnnGenome) else source


def _cross_chromosomes(
    first: BoltzmannGenome,
    second: BoltzmannGenome,
    config: PaperConfig,
    rng: np.random.Generator,
) -> tuple[BoltzmannGenome, BoltzmannGenome]:
    """Each op and slot keeps its prior and temperature together and is swapped at random."""
    swap_NS = rng.random(first.temperatures_NS.shape) < config.boltzmann_crossover_share
    swap_NS1 = swap_NS[..., np.newaxis]
    return (
        BoltzmannGenome(
            np.where(swap_NS1, second.priors_NSH, first.priors_NSH),
            np.where(swap_NS, second.temperatures_NS, first.temperatures_NS),
        ),
        BoltzmannGenome(
            np.where(swap_NS1, first.priors_NSH, second.priors_NSH),
            np.where(swap_NS, first.temperatures_NS, second.temperatures_NS),
        ),
    )


def _cross_networks(
    first: GnnGenome, second: GnnGenome, config: PaperConfig, rng: np.random.Generator
) -> tuple[GnnGenome, GnnGenome]:
    """Rows of matrices, and now and then an entry of a vector, go from either to the other."""
    one: list[F32] = []
    two: list[F32] = []
    for a, b in zip(first.weights, second.weights, strict=True):
        rows = 0
        if a.ndim > 1:
            rows = int(rng.integers(int(a.shape[0] * config.row_swap_share) + 1))
        elif a.size and rng.random() < config.vector_swap_probability:
            rows = 1
        if not rows:
            one.append(a)
            two.append(b)
            continue
        a, b = a.copy(), b.copy()
        for row in rng.integers(a.shape[0], size=rows).tolist():
            if rng.random() < 0.5:
                a[row] = b[row]
            else:
                b[row] = a[row]
        one.append(a)
        two.append(b)
    return GnnGenome(tuple(one)), GnnGenome(tuple(two))
