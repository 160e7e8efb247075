"""The policy: an observation in, keys for the decoder out; exploration by Gaussian noise.

Axis letters: P samples, T tensors, H homes.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from egrl.agents.egrl.inference import Weights, infer
from egrl.agents.egrl.observation import Observation

F64 = NDArray[np.float64]

PRIORITY_NOISE = 0.1
PREFERENCE_NOISE = 0.5

NOISE_SCALES = np.array(
    [
        [0.25, 0.25],
        [1.0, 0.0],
        [0.5, 0.5],
        [2.0, 0.0],
        [1.0, 1.0],
        [4.0, 0.0],
        [2.0, 2.0],
        [8.0, 0.0],
    ]
)
"""Factors of the noise of priorities and of preferences in a search; samples take turns.

Half of them only reorder: what they move far still goes where it prefers to be, which noise in
preferences forgets.
"""


@dataclass(frozen=True, slots=True)
class Keys:
    """Keys of one placement: float64 [T] and [T, H]; see `decoding.py`."""

    priority_T: F64
    preference_TH: F64


@dataclass(frozen=True, slots=True)
class Noise:
    """What is added to the keys of P samples: float64 [P, T] and [P, T, H], in units of one."""

    priority_PT: F64
    preference_PTH: F64


def rule_keys(observation: Observation) -> Keys:
    """The keys of the rule that the policy corrects."""
    return Keys(observation.prior.priority_T, observation.prior.preference_TH)


def policy_keys(weights: Weights, observation: Observation) -> Keys:
    """The keys of a policy, without noise."""
    priority_T, preference_TH = infer(weights, observation)
    rule = rule_keys(observation)
    return Keys(rule.priority_T + priority_T, rule.preference_TH + preference_TH)


def draw_noise(samples: int, tensors: int, homes: int, rng: np.random.Generator) -> Noise:
    """Noise of P samples; the second half mirrors the first."""
    half = -(-samples // 2)
    priority = rng.standard_normal((half, tensors))
    preference = rng.standard_normal((half, tensors, homes))
    return Noise(
        np.concatenate([priority, -priority])[:samples],
        np.concatenate([preference, -preference])[:samples],
    )


def noisy_keys(keys: Keys, noise: Noise, scale: float = 1.0) -> tuple[F64, F64]:
    """Keys of P samples: [P, T] and [P, T, H]."""
    return (
        keys.priority_T + scale * PRIORITY_NOISE * noise.priority_PT,
        keys.preference_TH + scale * PREFERENCE_NOISE * noise.preference_PTH,
    )
