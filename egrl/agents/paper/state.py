"""The whole state of a training as arrays and a few facts, and back: what a checkpoint holds.

Axis letters: R transitions, N ops, S slots, H homes.
"""

from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import torch
from torch import nn

from egrl.agents.arrays import Array, Arrays, checked
from egrl.agents.diverged import DivergedError
from egrl.agents.paper.genome import BoltzmannGenome, Genome, GnnGenome
from egrl.agents.paper.learner import Learner
from graph_ir.errors import InputError

if TYPE_CHECKING:
    from egrl.agents.paper.train import Training

MOMENTS = ("step", "exp_avg", "exp_avg_sq")
"""Of Adam, for every parameter."""


class PaperFacts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is no array.

    Attributes:
        genomes: kind of every genome alive, `gnn` or `boltzmann`.
        slots: which of them a slot of the population holds.
        replay_next: where the buffer is overwritten next.
        at_rest: whether the next step begins with the empty map.
        rollouts: noisy ones of the learner.
        owed_steps: of the learner.
        reference_s: latency of `native` on the machine.
    """

    genomes: list[str]
    slots: list[int]
    replay_next: int
    at_rest: bool
    rollouts: int
    owed_steps: float
    reference_s: float


def arrays_of(run: "Training") -> dict[str, Array]:
    """Every array of the state by name.

    Raises:
        DivergedError: a weight of the learner is not finite.
    """
    arrays: dict[str, Array] = {"map": run.map_NS, **run.replay.arrays()}
    for i, genome in enumerate(_alive(run)):
        if isinstance(genome, BoltzmannGenome):
            arrays[f"genome.{i}.priors"] = genome.priors_NSH
            arrays[f"genome.{i}.temperatures"] = genome.temperatures_NS
            continue
        for name, weight in zip(run.names, genome.weights, strict=True):
            arrays[f"genome.{i}.{name}"] = weight
        if id(genome) in run.cache:
            arrays[f"genome.{i}.logits"] = run.cache[id(genome)][1]
    if run.learner is not None:
        for name, tensor in _learner_tensors(run.learner).items():
            arrays[name] = tensor.detach().numpy()
            if not np.isfinite(arrays[name]).all():
                raise DivergedError(f"learner: {name} is no longer finite")
    return arrays


def facts_of(run: "Training") -> PaperFacts:
    """What is no array."""
    alive = _alive(run)
    place = {id(genome): i for i, genome in enumerate(alive)}
    return PaperFacts(
        ["boltzmann" if isinstance(genome, BoltzmannGenome) else "gnn" for genome in alive],
        [place[id(genome)] for genome in run.population],
        run.replay.next,
        run.map_NS is run.empty_NS,
        run.rollouts,
        run.owed_steps,
        run.judge.reference_s,
    )


def restore(run: "Training", arrays: Arrays, facts: PaperFacts) -> None:
    """Give a training that was just built the state of another one.

    Raises:
        InputError: an array lacks, has another shape or type, or a fact cannot be.
    """
    counts = len(facts.slots), len(facts.genomes)
    if counts[0] != len(run.population) or any(not 0 <= i < counts[1] for i in facts.slots):
        raise InputError(f"expected a population of {len(run.population)}, got {counts[0]}")
    if set(facts.slots) != set(range(counts[1])):
        raise InputError("genomes: expected every one in the population")
    if not (facts.rollouts >= 0 and 0 <= facts.owed_steps < np.inf and facts.reference_s > 0):
        raise InputError("facts: a number is out of range")
    genomes = [_genome(run, arrays, i, kind) for i, kind in enumerate(facts.genomes)]
    run.cache = {}
    for i, genome in enumerate(genomes):
        name = f"genome.{i}.logits"
        if isinstance(genome, GnnGenome) and name in arrays:
            shape = (*run.empty_NS.shape, run.state.homes)
            run.cache[id(genome)] = genome, checked(arrays, name, np.dtype(np.float64), shape)
    run.population = [genomes[i] for i in facts.slots]
    if run.learner is not None:
        _restore_learner(run.learner, arrays)
    run.replay.load(arrays, facts.replay_next, run.empty_NS, run.state.homes)
    held = checked(arrays, "map", np.dtype(np.int8), run.empty_NS.shape)
    run.map_NS = run.empty_NS if facts.at_rest else held
    run.rollouts, run.owed_steps = facts.rollouts, facts.owed_steps
    run.judge = replace(run.judge, reference_s=facts.reference_s)


def _alive(run: "Training") -> list[Genome]:
    """Every genome of the population once, in order; slots may share one."""
    return list({id(genome): genome for genome in run.population}.values())


def _genome(run: "Training", arrays: Arrays, i: int, kind: str) -> Genome:
    float64, shape_NS = np.dtype(np.float64), run.empty_NS.shape
    if kind == "boltzmann":
        shape_NSH = (*shape_NS, run.state.homes)
        return BoltzmannGenome(
            checked(arrays, f"genome.{i}.priors", float64, shape_NSH),
            checked(arrays, f"genome.{i}.temperatures", float64, shape_NS),
        )
    if kind != "gnn":
        raise InputError(f"genome {i}: expected gnn or boltzmann, got {kind!a}")
    return GnnGenome(
        tuple(
            checked(arrays, f"genome.{i}.{name}", np.dtype(np.float32), tuple(weight.shape))
            for name, weight in run.policy.named_parameters()
        )
    )


def _networks(learner: Learner) -> dict[str, nn.Module]:
    return {"actor": learner.actor, "critic": learner.critic, "target": learner.target}


def _learner_tensors(learner: Learner) -> dict[str, torch.Tensor]:
    tensors: dict[str, torch.Tensor] = {
        f"{kind}.{name}": weight
        for kind, network in _networks(learner).items()
        for name, weight in network.named_parameters()
    }
    for kind, network, optimizer in _optimised(learner):
        for name, weight in network.named_parameters():
            # Adam keeps nothing before its first step.
            for moment, value in optimizer.state.get(weight, {}).items():
                tensors[f"{kind}_adam.{name}.{moment}"] = value
    return tensors


def _optimised(learner: Learner) -> list[tuple[str, nn.Module, torch.optim.Optimizer]]:
    return [
        ("actor", learner.actor, learner.actor_optimizer),
        ("critic", learner.critic, learner.critic_optimizer),
    ]


def _restore_learner(learner: Learner, arrays: Arrays) -> None:
    float32 = np.dtype(np.float32)
    with torch.no_grad():
        for kind, network in _networks(learner).items():
            for name, weight in network.named_parameters():
                found = checked(arrays, f"{kind}.{name}", float32, tuple(weight.shape))
                weight.copy_(torch.from_numpy(found))
    for kind, network, optimizer in _optimised(learner):
        stepped = any(key.startswith(f"{kind}_adam.") for key in arrays)
        for name, weight in network.named_parameters():
            if stepped:
                optimizer.state[weight] = {
                    moment: torch.from_numpy(
                        checked(
                            arrays, f"{kind}_adam.{name}.{moment}", float32,
                            () if moment == "step" else tuple(weight.shape),
                        ).copy()
                    )
                    for moment in MOMENTS
                }  # fmt: skip
