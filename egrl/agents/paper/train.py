"""The published agent's loop: evaluate the population, roll out the learner, learn, evolve.

Axis letters: P maps, N ops, S slots, H homes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch.func import functional_call

from accelerator_sim.problem import PlacementProblem
from egrl.agents.paper.config import PaperConfig
from egrl.agents.paper.evolution import next_generation
from egrl.agents.paper.genome import (
    BoltzmannGenome,
    Genome,
    GnnGenome,
    random_boltzmann,
    sample_map,
)
from egrl.agents.paper.learner import Learner, State
from egrl.agents.paper.policy import Policy
from egrl.agents.paper.replay import I8, ReplayBuffer
from egrl.agents.paper.topology import build_topology
from egrl.environment.features import build_graph
from egrl.environment.judge import Verdicts, build_judge
from egrl.environment.projection import SLOTS
from egrl.placers.addressable import offer_addressable
from egrl.placers.all_outermost import AllOutermost
from egrl.placers.base import Search
from egrl.placers.decoder import build_decoder

F64 = NDArray[np.float64]
LARGEST_SEED = 2**63 - 1


def train(
    problem: PlacementProblem, config: PaperConfig, search: Search, rng: np.random.Generator
) -> None:
    """Learn one problem until the budget of the search ends; its incumbent is the result.

    Uses one thread of torch, so that the same seed gives the same bytes anywhere.

    Args:
        problem: what to place.
        config: hyper-parameters.
        search: budget and incumbent.
        rng: source of all randomness.

    Raises:
        DivergedError: the learner diverged.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        run = Training(problem, config, search, rng)
        while not search.exhausted:
            run.generation()
    finally:
        torch.set_num_threads(threads)


@dataclass(slots=True)
class GenerationMeasures:
    """What one generation did.

    Attributes:
        tried: maps.
        valid: those of them that fitted as they were.
        best_reward: of the maps; None where none was tried.
        critic_losses: of every gradient step.
        actor_losses: of every gradient step.
    """

    tried: int = 0
    valid: int = 0
    best_reward: float | None = None
    critic_losses: list[float] = field(default_factory=list)
    actor_losses: list[float] = field(default_factory=list)


class Training:
    """State of one training.

    Attributes:
        population: genomes; empty without evolution.
        learner: None without learning.
        replay: every map tried, by whomever.
        map_NS: with which the next step begins.
        cache: logits of the networks alive where everything is outermost, by identity.
        measures: of the generation under way or just over.
    """

    def __init__(
        self,
        problem: PlacementProblem,
        config: PaperConfig,
        search: Search,
        rng: np.random.Generator,
    ) -> None:
        self.problem, self.config, self.search, self.rng = problem, config, search, rng
        self.judge = build_judge(problem, search.evaluator)
        graph = build_graph(problem.workload)
        self.state = State(
            torch.from_numpy(graph.features_NF),
            build_topology(graph.edges_2E, problem.op_count),
            len(problem.homes),
        )
        self.policy = self._new_policy()
        self.names = [name for name, _ in self.policy.named_parameters()]
        self.empty_NS = self.judge.empty_map()
        self.map_NS = self.empty_NS
        self.replay = ReplayBuffer(config.buffer)
        self.cache: dict[int, tuple[GnnGenome, F64]] = {}
        self.population = self._first_population()
        with_learner = config.ablation not in ("no-learner", "boltzmann-only")
        self.learner = Learner(self.state, config, self._seed()) if with_learner else None
        self.measures = GenerationMeasures()
        self.rollouts = 0
        self.owed_steps = 0.0
        # Nothing is reported that has no addresses, and the first maps may all be invalid.
        homes_T = AllOutermost().homes(problem, build_decoder(problem))
        latency_s = float(search.measure(homes_T[np.newaxis, :])[0])
        offer_addressable(search, self.judge.rectifier, homes_T, latency_s)

    def generation(self) -> None:
        """Evaluate all, learn, evolve."""
        self.measures = GenerationMeasures()
        before = self.search.evaluations
        fitness_P = self._evaluate(self.population)
        if self.learner is not None:
            self._roll_out(self.learner)
            self._learn(self.learner, self.search.evaluations - before)
        if self.population and not self.search.exhausted:
            migrants = [] if self.learner is None else [_genome_of(self.learner.actor)]
            self.population = next_generation(
                self.population, fitness_P, migrants, self.logits, self.config, self.rng
            )
        alive = {id(genome) for genome in self.population}
        self.cache = {key: kept for key, kept in self.cache.items() if key in alive}

    def logits(self, genome: GnnGenome) -> F64:
        """Raw logits of a policy where everything is outermost, [N, S, H]."""
        self._remember([genome])
        return self.cache[id(genome)][1]

    def _seed(self) -> int:
        return int(self.rng.integers(LARGEST_SEED))

    def _new_policy(self) -> Policy:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self._seed())
            return Policy(self.state.feature_count, self.state.homes, self.config)

    def _first_population(self) -> list[Genome]:
        config = self.config
        if config.ablation == "sac-only":
            return []
        share = {"boltzmann-only": 1.0, "gnn-only": 0.0}.get(
            config.ablation, config.boltzmann_share
        )
        chromosomes = round(share * config.population)
        size = (self.problem.op_count, SLOTS, self.state.homes)
        return [
            random_boltzmann(*size, config, self.rng)
            if i >= config.population - chromosomes
            else _genome_of(self._new_policy())
            for i in range(config.population)
        ]

    def _forward(self, genomes: list[GnnGenome], map_NS: I8) -> F64:
        """Raw logits of P policies where a step begins with this map, [P, N, S, H]."""
        weights = {
            name: torch.from_numpy(np.stack([genome.weights[i] for genome in genomes]))
            for i, name in enumerate(self.names)
        }
        nodes_PNF = self.state.nodes(np.repeat(map_NS[np.newaxis], len(genomes), axis=0))
        with torch.no_grad():
            logits = functional_call(self.policy, weights, (nodes_PNF, self.state.topology))
        # Mutation may drive weights so high that their sums overflow.
        logits_PNSH: F64 = np.nan_to_num(logits.numpy().astype(np.float64))
        return logits_PNSH

    def _remember(self, genomes: Sequence[Genome]) -> None:
        """Fill the cache with the policies among these genomes that it lacks, in one pass."""
        missing = {
            id(genome): genome
            for genome in genomes
            if isinstance(genome, GnnGenome) and id(genome) not in self.cache
        }
        if missing:
            policies = list(missing.values())
            for genome, logits_NSH in zip(
                policies, self._forward(policies, self.empty_NS), strict=True
            ):
                self.cache[id(genome)] = genome, logits_NSH

    def _act(self, genome: Genome) -> I8:
        if isinstance(genome, BoltzmannGenome):
            return sample_map(genome, self.rng)
        at_rest = self.map_NS is self.empty_NS
        logits_NSH = self.logits(genome) if at_rest else self._forward([genome], self.map_NS)[0]
        map_NS: I8 = logits_NSH.argmax(axis=2).astype(np.int8)
        return map_NS

    def _evaluate(self, genomes: list[Genome]) -> F64:
        """Fitness of each: the reward of one map. What the budget leaves out has none."""
        fitness_P = np.full(len(genomes), -np.inf)
        if self.config.schedule == "fast":
            if genomes:
                self._remember(genomes)
                reward_P = self._try(np.stack([self._act(genome) for genome in genomes]))
                fitness_P[: len(reward_P)] = reward_P
            return fitness_P
        for i, genome in enumerate(genomes):
            if self.search.exhausted:
                break
            fitness_P[i] = self._try(self._act(genome)[np.newaxis])[0]
        return fitness_P

    def _try(self, maps_PNS: I8) -> F64:
        """Judge maps, as many as the budget has room for; offer the best, remember all."""
        limit = self.search.budget.evaluations
        if limit is not None:
            maps_PNS = maps_PNS[: max(0, limit - self.search.evaluations)]
        found = self.judge.judge(maps_PNS)
        self.search.evaluations += len(maps_PNS)
        for map_NS, reward in zip(maps_PNS, found.reward_P.tolist(), strict=True):
            self.replay.add(self.map_NS, map_NS, reward)
        self._count(found)
        measured_P = found.latency_s_P > 0
        if measured_P.any():
            best = int(np.where(measured_P, found.latency_s_P, np.inf).argmin())
            latency_s = float(found.latency_s_P[best])
            offer_addressable(self.search, self.judge.rectifier, found.homes_PT[best], latency_s)
        if self.config.schedule == "paper" and len(maps_PNS):
            self.map_NS = maps_PNS[-1]
        return found.reward_P

    def _roll_out(self, learner: Learner) -> None:
        """One noisy and one clean map of the learner."""
        config = self.config
        genome = _genome_of(learner.actor)
        decayed = config.exploration_start * config.exploration_decay**self.rollouts
        share = max(config.exploration_end, decayed)
        self.rollouts += 1
        for noise in (share, 0.0):
            if self.search.exhausted:
                return
            map_NS = self._act(genome)
            at_random_NS = self.rng.random(map_NS.shape) < noise
            any_NS = self.rng.integers(self.state.homes, size=map_NS.shape)
            self._try(np.where(at_random_NS, any_NS, map_NS).astype(np.int8)[np.newaxis])

    def _learn(self, learner: Learner, evaluations: int) -> None:
        """As many gradient steps as the evaluations since the last ones have earned."""
        if self.search.evaluations < self.config.learning_start or not len(self.replay):
            return
        self.owed_steps += evaluations * self.config.gradient_steps_per_evaluation
        while self.owed_steps >= 1.0 and not self.search.exhausted:
            self.owed_steps -= 1.0
            batch = self.replay.sample(self.config.batch, self.rng)
            critic_loss, actor_loss = learner.update(batch, self.rng)
            self.measures.critic_losses.append(critic_loss)
            self.measures.actor_losses.append(actor_loss)

    def _count(self, found: Verdicts) -> None:
        measures = self.measures
        measures.tried += len(found.valid_P)
        measures.valid += int(found.valid_P.sum())
        for reward in found.reward_P.tolist():
            best = measures.best_reward
            measures.best_reward = reward if best is None else max(best, reward)


def _genome_of(policy: Policy) -> GnnGenome:
    return GnnGenome(tuple(p.detach().numpy().copy() for p in policy.parameters()))
