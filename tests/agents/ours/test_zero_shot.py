"""What is placed without search: decodes between the policy and its rule, and samples."""

from dataclasses import replace

import numpy as np
import pytest

from accelerator_sim.engine import evaluate_batch
from accelerator_sim.rectify import build_rectifier
from egrl.agents.egrl.decoding import decode_keys
from egrl.agents.egrl.policy import NOISE_SCALES, PRIORITY_NOISE, Keys
from egrl.agents.egrl.zero_shot import STRENGTHS, ZeroShot
from egrl.placers.decoder import build_decoder
from tests.agents.ours.support import generated


def shot_of(problem, seed=0, spread=3.0):
    """A policy of random numbers, far from its rule."""
    rng = np.random.default_rng(seed)
    decoder = build_decoder(problem)
    allowed_TH = problem.allowed_TH
    rule = Keys(
        rng.random(len(allowed_TH)), np.where(allowed_TH, rng.random(allowed_TH.shape), -np.inf)
    )
    keys = Keys(
        rule.priority_T + spread * rng.standard_normal(len(allowed_TH)),
        rule.preference_TH + spread * rng.standard_normal(allowed_TH.shape),
    )
    rectifier = build_rectifier(problem, decoder.tables, decoder.values)
    return ZeroShot(decoder, rectifier, keys, rule)


@pytest.mark.parametrize("seed", range(4))
def test_decodes_are_those_of_keys_mixed_by_hand(seed):
    problem = generated(seed)
    shot = shot_of(problem, seed)
    expected = []
    for part in STRENGTHS:
        priority_T = part * shot.keys.priority_T + (1 - part) * shot.rule.priority_T
        preference_TH = np.full(shot.rule.preference_TH.shape, -np.inf)
        for t, h in zip(*np.nonzero(problem.allowed_TH), strict=True):
            own, other = shot.keys.preference_TH[t, h], shot.rule.preference_TH[t, h]
            preference_TH[t, h] = part * own + (1 - part) * other
        homes_PT, fits_P = decode_keys(shot.decoder, priority_T[None], preference_TH[None])
        if fits_P[0] and homes_PT[0].tobytes() not in [one.tobytes() for one in expected]:
            expected.append(homes_PT[0])
    assert shot.first().tolist() == np.array(expected).tolist()
    assert len(expected) > 2  # otherwise nothing was mixed
    assert STRENGTHS[0] == 1.0
    assert STRENGTHS[-1] == 0.0


def test_alone_is_the_policy_and_nothing_else():
    shot = shot_of(generated(3))
    alone_PT = shot.alone()
    assert len(alone_PT) == 1
    assert alone_PT[0].tolist() == shot.first()[0].tolist()


def test_nothing_between_a_rule_and_itself():
    shot = shot_of(generated(1), spread=0.0)
    assert shot.first().tolist() == shot.alone().tolist()


def test_half_of_the_samples_only_reorder():
    orders = NOISE_SCALES[:, 1] == 0.0
    assert orders.tolist() == [False, True] * (len(NOISE_SCALES) // 2)
    problem = generated(4)
    decoded = []

    class Spy(ZeroShot):
        def decode(self, priority_PT, preference_PTH):
            decoded.append((priority_PT, preference_PTH))
            return super().decode(priority_PT, preference_PTH)

    whole = shot_of(problem)
    shot = Spy(whole.decoder, whole.rectifier, whole.rule, whole.rule)  # one centre for all
    shot.samples(2 * len(NOISE_SCALES), np.random.default_rng(0))
    priority_PT, preference_PTH = decoded[0]
    kept_P = (preference_PTH == whole.rule.preference_TH).all(axis=(1, 2))
    assert kept_P.tolist() == [*orders, *orders]
    moved_P = (priority_PT != whole.rule.priority_T).mean(axis=1)
    assert (moved_P == 1.0).all()


def test_samples_lie_around_all_parts_of_the_correction_and_repeat():
    problem = generated(2)
    shot = shot_of(problem, spread=30.0)  # far enough for noise not to reach the rule
    first, again = (shot.samples(40, np.random.default_rng(5)) for _ in range(2))
    assert first.tobytes() == again.tobytes()
    found = evaluate_batch(problem, first)
    assert found.feasible_P.all()
    distance_PP = (first[:, None, :] != shot.first()[None, :, :]).mean(axis=2)
    assert len(set(distance_PP.argmin(axis=1).tolist())) >= 3


def test_proposals_go_on_where_the_last_ended():
    shot = shot_of(generated(2), spread=30.0)
    quiet = replace(shot, rule=shot.keys, strengths=(1.0,))  # one centre for all
    scales = []
    for turn in (0, 3):
        priority_PT, _ = quiet.proposals(4, np.random.default_rng(1), turn)
        scales.append((priority_PT - shot.keys.priority_T).std(axis=1))
    expected = NOISE_SCALES[[0, 1, 2, 3], 0], NOISE_SCALES[[3, 4, 5, 6], 0]
    for found, wanted in zip(scales, expected, strict=True):
        assert found / PRIORITY_NOISE == pytest.approx(wanted, rel=0.4)
    far = replace(shot, strengths=(0.0, 1.0))
    priority_PT, _ = far.proposals(3, np.random.default_rng(1), 1)
    nearer = [
        abs(priority_T - shot.keys.priority_T).sum() < abs(priority_T - shot.rule.priority_T).sum()
        for priority_T in priority_PT
    ]
    assert nearer == [True, False, True]
