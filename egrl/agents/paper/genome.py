"""The two encodings that evolve: weights of a policy network, and Boltzmann chromosomes.

Axis letters: N ops, S slots (weights, outputs), H homes. Genomes are never changed in place.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from egrl.agents.paper.config import PaperConfig

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class GnnGenome:
    """A policy network.

    Attributes:
        weights: float32, its parameters in the network's order.
    """

    weights: tuple[F32, ...]


@dataclass(frozen=True, slots=True)
class BoltzmannGenome:
    """A distribution for every op and slot: softmax(prior / temperature).

    Attributes:
        priors_NSH: preferences.
        temperatures_NS: high ones explore.
    """

    priors_NSH: F64
    temperatures_NS: F64


Genome = GnnGenome | BoltzmannGenome


def random_boltzmann(
    ops: int, slots: int, homes: int, config: PaperConfig, rng: np.random.Generator
) -> BoltzmannGenome:
    """Uniform priors, normalised, and uniform temperatures."""
    priors_NSH = normalised(rng.random((ops, slots, homes)))
    low, high = config.temperature_low, config.temperature_high
    return BoltzmannGenome(priors_NSH, rng.uniform(low, high, (ops, slots)))


def normalised(priors_NSH: F64) -> F64:
    """Less the smallest of all, then rows that sum to one; a row of zeros becomes uniform."""
    shifted_NSH = priors_NSH - priors_NSH.min()
    sums_NS1 = shifted_NSH.sum(axis=-1, keepdims=True)
    uniform = 1.0 / priors_NSH.shape[-1]
    rows_NSH: F64 = np.where(
        sums_NS1 > 0, shifted_NSH / np.where(sums_NS1 > 0, sums_NS1, 1.0), uniform
    )
    return rows_NSH


def seeded(genome: BoltzmannGenome, logits_NSH: F64) -> BoltzmannGenome:
    """The chromosome with the raw logits of a policy as its prior; temperatures stay."""
    return BoltzmannGenome(normalised(np.asarray(logits_NSH, np.float64)), genome.temperatures_NS)


def probabilities(genome: BoltzmannGenome) -> F64:
    """softmax(prior / temperature), [N, S, H]."""
    logits_NSH = genome.priors_NSH / genome.temperatures_NS[..., np.newaxis]
    raised_NSH = np.exp(logits_NSH - logits_NSH.max(axis=-1, keepdims=True))
    shares_NSH: F64 = raised_NSH / raised_NSH.sum(axis=-1, keepdims=True)
    return shares_NSH


def sample_map(genome: BoltzmannGenome, rng: np.random.Generator) -> NDArray[np.int8]:
    """Draw a map: int8, [N, S]."""
    cumulative_NSH = probabilities(genome).cumsum(axis=-1)
    draw_NS1 = rng.random((*cumulative_NSH.shape[:-1], 1))
    # The last sum may be a hair below one.
    map_NS: NDArray[np.int8] = (draw_NS1 >= cumulative_NSH[..., :-1]).sum(axis=-1, dtype=np.int8)
    return map_NS
