"""Placing without search: a few decodes between the policy and its rule, and samples around them.

One decode of a network is fragile: on what it was not trained on, a correction can be right and too
large. So the rule is corrected by the whole of what the policy says, by parts of it and not at all
(docs/decisions/0038-parts-of-a-correction.md).

Axis letters: P placements, T tensors, H homes.
"""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from accelerator_sim.problem import PlacementProblem
from accelerator_sim.rectify import Rectifier
from egrl.agents.egrl.checkpoint import Policy
from egrl.agents.egrl.decoding import decode_keys
from egrl.agents.egrl.observation import Observation, observe
from egrl.agents.egrl.policy import (
    NOISE_SCALES,
    PREFERENCE_NOISE,
    PRIORITY_NOISE,
    Keys,
    draw_noise,
    policy_keys,
    rule_keys,
)
from egrl.placers.decoder import Decoder

F64 = NDArray[np.float64]
I8 = NDArray[np.int8]

STRENGTHS = (1.0, 0.75, 0.5, 0.25, 0.0)
"""Of the policy's correction of the rule; decodes and samples take turns."""

UNCORRECTED = (1.0,)
"""Strengths where there is nothing between the policy and its rule, or nothing else is wanted."""

Spoilt = Literal["no", "shuffled"]
Head = Literal["pairs", "softmax"]


@dataclass(frozen=True, slots=True)
class ZeroShot:
    """The policy on one problem.

    Attributes:
        decoder: of the problem.
        rectifier: of the problem.
        keys: the policy's.
        rule: those of the rule that it corrects.
        head: `pairs` decodes keys greedily; `softmax` is the ablation: every tensor takes its
            preferred home by itself, and what does not fit is demoted.
        strengths: of the correction, for decodes and proposals.
    """

    decoder: Decoder
    rectifier: Rectifier
    keys: Keys
    rule: Keys
    head: Head = "pairs"
    strengths: tuple[float, ...] = STRENGTHS

    def alone(self) -> I8:
        """One decode of the policy, nothing else; [P, T], empty where it does not fit."""
        return self._placed(self.keys.priority_T[np.newaxis], self.keys.preference_TH[np.newaxis])

    def first(self) -> I8:
        """Decodes from the policy's to the rule's; [P, T], different ones, only those that fit."""
        homes_PT = self._placed(*self._corrected(np.array(self.strengths)))
        known = {homes_T.tobytes(): homes_T for homes_T in homes_PT}
        return np.stack(list(known.values())) if known else homes_PT

    def samples(self, count: int, rng: np.random.Generator) -> I8:
        """Placements around those of `first`: [P, T], only those that fit."""
        return self._placed(*self.proposals(count, rng))

    def proposals(self, count: int, rng: np.random.Generator, turn: int = 0) -> tuple[F64, F64]:
        """Keys around those of `first`: [P, T] and [P, T, H].

        Args:
            count: how many.
            rng: source of the noise.
            turn: how many there were before; strengths and scales of the noise take turns.
        """
        tensors, homes = self.keys.preference_TH.shape
        noise = draw_noise(count, tensors, homes, rng)
        turn_P = turn + np.arange(count)
        scale_P2 = NOISE_SCALES[turn_P % len(NOISE_SCALES)]
        noise.priority_PT[:] *= scale_P2[:, :1]
        noise.preference_PTH[:] *= scale_P2[:, 1:, np.newaxis]
        strengths = np.array(self.strengths)
        priority_PT, preference_PTH = self._corrected(strengths[turn_P % len(strengths)])
        priority_PT += PRIORITY_NOISE * noise.priority_PT
        preference_PTH += PREFERENCE_NOISE * noise.preference_PTH
        return priority_PT, preference_PTH

    def _corrected(self, part_P: F64) -> tuple[F64, F64]:
        """Keys of the rule with parts of the policy's correction: [P, T] and [P, T, H]."""
        rule, keys = self.rule, self.keys
        priority_PT = np.multiply.outer(part_P, keys.priority_T)
        priority_PT += np.multiply.outer(1.0 - part_P, rule.priority_T)
        with np.errstate(invalid="ignore"):  # Nothing of minus infinity is not a number.
            preference_PTH = np.multiply.outer(part_P, keys.preference_TH)
            preference_PTH += np.multiply.outer(1.0 - part_P, rule.preference_TH)
        preference_PTH[:, ~np.isfinite(rule.preference_TH)] = -np.inf
        return priority_PT, preference_PTH

    def decode(self, priority_PT: F64, preference_PTH: F64) -> tuple[I8, NDArray[np.bool_]]:
        """The placements of P keys by the head, and whether they fit."""
        if self.head == "softmax":
            batch = self.rectifier.batch(preference_PTH.argmax(axis=2).astype(np.int8))
            return batch.homes_PT, batch.fits_P
        return decode_keys(self.decoder, priority_PT, preference_PTH)

    def _placed(self, priority_PT: F64, preference_PTH: F64) -> I8:
        homes_PT, fits_P = self.decode(priority_PT, preference_PTH)
        return homes_PT[fits_P]


def zero_shot(
    problem: PlacementProblem,
    decoder: Decoder,
    rectifier: Rectifier,
    policy: Policy | None,
    rng: np.random.Generator,
    spoilt: Spoilt = "no",
    head: Head = "pairs",
    observation: Observation | None = None,
    strengths: tuple[float, ...] = STRENGTHS,
) -> ZeroShot:
    """Look at a problem once.

    Args:
        problem: the problem.
        decoder: of it.
        rectifier: of it.
        policy: None for an untrained one, which is the rule.
        rng: shuffles, where asked to.
        spoilt: `shuffled` is a control: every tensor is shown with another one's features.
        head: see `ZeroShot`.
        observation: of the problem, where the caller has it already.
        strengths: see `ZeroShot`.
    """
    observation = observe(problem, decoder) if observation is None else observation
    rule = rule_keys(observation)
    if policy is None:
        return ZeroShot(decoder, rectifier, rule, rule, head, UNCORRECTED)
    seen = shuffled(observation, rng) if spoilt == "shuffled" else observation
    return ZeroShot(decoder, rectifier, policy_keys(policy.weights, seen), rule, head, strengths)


def shuffled(observation: Observation, rng: np.random.Generator) -> Observation:
    """Every tensor with the features of another one."""
    order = rng.permutation(len(observation.tensor_TF))
    return replace(
        observation,
        tensor_TF=observation.tensor_TF[order],
        pair_THF=observation.pair_THF[order],
    )
