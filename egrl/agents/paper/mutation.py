"""Mutation of the two encodings, as the public supplement does it."""

from math import ceil

import numpy as np

from egrl.agents.paper.config import PaperConfig
from egrl.agents.paper.genome import F32, BoltzmannGenome, Genome, GnnGenome

STRONG = 10.0


def mutate(genome: Genome, config: PaperConfig, rng: np.random.Generator) -> Genome:
    """A mutated copy."""
    if isinstance(genome, BoltzmannGenome):
        return _mutate_boltzmann(genome, config, rng)
    return GnnGenome(tuple(_mutate_tensor(weight, config, rng) for weight in genome.weights))


def _mutate_boltzmann(
    genome: BoltzmannGenome, config: PaperConfig, rng: np.random.Generator
) -> BoltzmannGenome:
    priors, temperatures = genome.priors_NSH, genome.temperatures_NS
    prior_factor = rng.normal(1.0, config.prior_noise, priors.shape)
    factor = rng.normal(config.temperature_decay, config.temperature_noise, temperatures.shape)
    cooled = np.clip(temperatures * factor, config.temperature_low, config.temperature_high)
    return BoltzmannGenome(priors * prior_factor, cooled)


def _mutate_tensor(weight: F32, config: PaperConfig, rng: np.random.Generator) -> F32:
    """Some entries of one parameter changed; the parameter itself where it is left alone."""
    trigger = rng.random() * config.matrix_trigger
    if weight.ndim < 2:
        trigger *= config.vector_trigger
    if weight.size == 0 or rng.random() >= trigger:
        return weight
    count = int(rng.integers(ceil(config.mutated_share * weight.size) + 1))
    changed = weight.copy()
    flat = changed.reshape(-1)
    index = rng.integers(weight.size, size=count)
    kind = rng.random(count)
    noise = rng.standard_normal(count) * config.mutation_noise
    strong = kind < config.strong_probability
    reset = ~strong & (kind < config.strong_probability + config.reset_probability)
    scale = np.where(strong, STRONG, 1.0)
    new = np.where(reset, noise, flat[index] + noise * scale * flat[index])
    flat[index] = np.clip(new, -config.weight_limit, config.weight_limit)
    return changed
