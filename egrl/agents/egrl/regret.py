"""The loss: regret of a policy against its own sampled placements, on one problem.

Keys are sampled around the policy's, decoded and timed; a sample's advantage is how much faster it
is than the mean of all. With Gaussian noise the score-function estimate of the gradient (Williams,
"Simple statistical gradient-following algorithms", Machine Learning 8, 1992) is the mean of
advantage times noise, one number per key. Placements that tie have no advantage over one another,
so nothing is learned from ties.

Axis letters: P samples, T tensors, H homes.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from accelerator_sim.engine import evaluate_batch
from accelerator_sim.problem import PlacementProblem
from egrl.agents.egrl.decoding import decode_keys
from egrl.agents.egrl.network import PolicyNetwork, graph_of
from egrl.agents.egrl.observation import Observation, observe
from egrl.agents.egrl.policy import (
    PREFERENCE_NOISE,
    PRIORITY_NOISE,
    Keys,
    draw_noise,
    noisy_keys,
)
from egrl.placers.decoder import Decoder, build_decoder

F64 = NDArray[np.float64]

NO_SPREAD = 2e-3
"""Spread of the logarithm of latencies below which advantages are not blown up."""

FAILED = 0.5
"""Logarithm by which a key that decodes to nothing counts as slower than the slowest."""


@dataclass(frozen=True, slots=True)
class Case:
    """A problem that is trained on.

    Attributes:
        problem: the problem.
        decoder: of it.
        observation: of it.
    """

    problem: PlacementProblem
    decoder: Decoder
    observation: Observation


@dataclass(frozen=True, slots=True)
class Lesson:
    """What one problem gave.

    Attributes:
        loss: to be minimised.
        priority_T: what the network adds to the rule's priorities.
        preference_TH: and to its preferences.
        policy_log: logarithm of the latency without noise.
    """

    loss: Tensor
    priority_T: Tensor
    preference_TH: Tensor
    policy_log: float


def build_case(problem: PlacementProblem) -> Case:
    """A case of a problem that was never seen."""
    decoder = build_decoder(problem)
    return Case(problem, decoder, observe(problem, decoder))


def latency_logs(case: Case, priority_PT: F64, preference_PTH: F64) -> F64:
    """Logarithms of the latencies that keys decode to."""
    homes_PT, decoded_P = decode_keys(case.decoder, priority_PT, preference_PTH)
    found = evaluate_batch(case.problem, homes_PT)
    fits_P = decoded_P & found.feasible_P
    log_P = np.log(np.where(fits_P, found.latency_s_P, 1.0))
    worst = float(log_P[fits_P].max()) if fits_P.any() else 0.0
    log_P[~fits_P] = worst + FAILED
    return log_P


def lesson(network: PolicyNetwork, case: Case, samples: int, rng: np.random.Generator) -> Lesson:
    """Sample, time, and say where the keys should go.

    Args:
        network: the policy.
        case: what to learn from.
        samples: P, besides the policy's own placement.
        rng: source of all randomness.
    """
    priority_T, preference_TH = network(graph_of(case.observation))
    prior = case.observation.prior
    keys = Keys(
        prior.priority_T + priority_T.detach().numpy().astype(np.float64),
        prior.preference_TH + preference_TH.detach().numpy().astype(np.float64),
    )
    tensors, homes = preference_TH.shape
    noise = draw_noise(samples, tensors, homes, rng)
    priority_PT, preference_PTH = noisy_keys(keys, noise)
    log_P = latency_logs(
        case,
        np.concatenate([keys.priority_T[np.newaxis], priority_PT]),
        np.concatenate([keys.preference_TH[np.newaxis], preference_PTH]),
    )
    sampled_P = log_P[1:]
    advantage_P = (sampled_P.mean() - sampled_P) / max(float(sampled_P.std()), NO_SPREAD)
    free_T = case.problem.allowed_TH.sum(axis=1) > 1
    weight_T = free_T / np.sqrt(max(1, int(free_T.sum())))
    to_priority_T = advantage_P @ noise.priority_PT / samples * weight_T
    to_preference_TH = np.tensordot(advantage_P, noise.preference_PTH, 1) / samples
    to_preference_TH *= weight_T[:, np.newaxis] * case.problem.allowed_TH
    loss = -(
        (torch.from_numpy(to_priority_T.astype(np.float32)) * priority_T).sum() / PRIORITY_NOISE
        + (torch.from_numpy(to_preference_TH.astype(np.float32)) * preference_TH).sum()
        / PREFERENCE_NOISE
    )
    return Lesson(loss, priority_T, preference_TH, float(log_P[0]))
