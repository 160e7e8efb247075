"""Placing without search: the policy's own placement, and the best of a few samples around it.

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
from egrl.agents.egrl.policy import Keys, draw_noise, noisy_keys, policy_keys, rule_keys
from egrl.placers.decoder import Decoder

I8 = NDArray[np.int8]

SAMPLE_SCALES = (0.25, 0.5, 1.0, 2.0)
"""Of the exploration noise; samples take turns."""

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
    """

    decoder: Decoder
    rectifier: Rectifier
    keys: Keys
    rule: Keys
    head: Head = "pairs"

    def first(self) -> I8:
        """What the policy would do, then what the rule would; [P, T], only those that fit."""
        priority_PT = np.stack([self.keys.priority_T, self.rule.priority_T])
        preference_PTH = np.stack([self.keys.preference_TH, self.rule.preference_TH])
        return self._placed(priority_PT, preference_PTH)

    def samples(self, count: int, rng: np.random.Generator) -> I8:
        """Placements around the policy's: [P, T], only those that fit."""
        tensors, homes = self.keys.preference_TH.shape
        noise = draw_noise(count, tensors, homes, rng)
        scale_P = np.resize(np.repeat(SAMPLE_SCALES, 2), count)
        noise.priority_PT[:] *= scale_P[:, np.newaxis]
        noise.preference_PTH[:] *= scale_P[:, np.newaxis, np.newaxis]
        priority_PT, preference_PTH = noisy_keys(self.keys, noise)
        return self._placed(priority_PT, preference_PTH)

    def decode(
        self, priority_PT: NDArray[np.float64], preference_PTH: NDArray[np.float64]
    ) -> tuple[I8, NDArray[np.bool_]]:
        """The placements of P keys by the head, and whether they fit."""
        if self.head == "softmax":
            batch = self.rectifier.batch(preference_PTH.argmax(axis=2).astype(np.int8))
            return batch.homes_PT, batch.fits_P
        return decode_keys(self.decoder, priority_PT, preference_PTH)

    def _placed(self, priority_PT: NDArray[np.float64], preference_PTH: NDArray[np.float64]) -> I8:
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
    """
    observation = observe(problem, decoder)
    rule = rule_keys(observation)
    if policy is None:
        return ZeroShot(decoder, rectifier, rule, rule, head)
    seen = shuffled(observation, rng) if spoilt == "shuffled" else observation
    return ZeroShot(decoder, rectifier, policy_keys(policy.weights, seen), rule, head)


def shuffled(observation: Observation, rng: np.random.Generator) -> Observation:
    """Every tensor with the features of another one."""
    order = rng.permutation(len(observation.tensor_TF))
    return replace(
        observation,
        tensor_TF=observation.tensor_TF[order],
        pair_THF=observation.pair_THF[order],
    )
