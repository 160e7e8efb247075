"""One generation: elites, tournaments, migration, crossover, mutation."""

import numpy as np
from numpy.typing import NDArray

from egrl.agents.paper.config import PaperConfig
from egrl.agents.paper.crossover import Logits, cross, take_over
from egrl.agents.paper.genome import Genome, GnnGenome
from egrl.agents.paper.mutation import mutate

FEWEST_ELITES = 2


def next_generation(
    population: list[Genome],
    fitness_P: NDArray[np.float64],
    migrants: list[GnnGenome],
    logits: Logits,
    config: PaperConfig,
    rng: np.random.Generator,
) -> list[Genome]:
    """Evolve a population; slots keep their encoding.

    In the order of the public supplement: elites, tournament offspring, migration into slots that
    were not selected, copies of the elites (which nothing changes), crosses of elites and offspring
    into what is left, offspring crossed in pairs, all but the copies mutated. An elite for which no
    slot of its encoding is left is protected where it is, so that the best is never lost.

    Args:
        population: genomes.
        fitness_P: of each.
        migrants: policies of learners.
        logits: of a policy, to seed chromosomes.
        config: rates.
        rng: source of all randomness.
    """
    rank = np.argsort(-fitness_P, kind="stable").tolist()
    elites = rank[: max(FEWEST_ELITES, int(config.elite_share * len(rank)))]
    offspring = _tournaments(rank, len(rank) - len(elites), config, rng)
    unselected = [i for i in rank if i not in elites and i not in offspring]
    rng.shuffle(unselected)
    result = list(population)
    for migrant in migrants:
        if unselected:
            slot = unselected.pop()
            result[slot] = take_over(migrant, result[slot], logits)
    protected = _copy_elites(result, population, elites, unselected, offspring)
    parents = offspring or elites
    for position in range(0, len(unselected), 2):
        slots = unselected[position : position + 2]
        elite = population[elites[int(rng.integers(len(elites)))]]
        other = population[parents[int(rng.integers(len(parents)))]]
        children = cross(
            take_over(elite, result[slots[0]], logits),
            take_over(other, result[slots[-1]], logits),
            logits, config, rng,
        )  # fmt: skip
        # An odd one out keeps the first child.
        for slot, child in zip(slots, children, strict=False):
            result[slot] = child
    for i, j in zip(offspring[::2], offspring[1::2], strict=False):
        if rng.random() < config.crossover_probability:
            result[i], result[j] = cross(result[i], result[j], logits, config, rng)
    for i, genome in enumerate(result):
        if i not in protected and rng.random() < config.mutation_probability:
            result[i] = mutate(genome, config, rng)
    return result


def _tournaments(
    rank: list[int], count: int, config: PaperConfig, rng: np.random.Generator
) -> list[int]:
    """Winners of `count` tournaments, each once, none of them twice."""
    winners: dict[int, None] = {}
    for _ in range(count):
        place = int(rng.integers(len(rank), size=config.tournament_size).min())
        winners[rank[place]] = None
    return list(winners)


def _copy_elites(
    result: list[Genome],
    population: list[Genome],
    elites: list[int],
    unselected: list[int],
    offspring: list[int],
) -> list[int]:
    """Copy every elite into a slot of its encoding; the slots that mutation must spare."""
    protected: list[int] = []
    for elite in elites:
        kind = type(population[elite])
        for slots in (unselected, offspring):
            slot = next((i for i in slots if type(result[i]) is kind and i not in elites), None)
            if slot is not None:
                slots.remove(slot)
                result[slot] = population[elite]
                protected.append(slot)
                break
        else:
            if elite in offspring:
                offspring.remove(elite)
            protected.append(elite)
    return protected
