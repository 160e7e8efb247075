"""The environment: the checker of gymnasium, the cases of the reward, the projection."""

import warnings
from dataclasses import replace

import gymnasium
import numpy as np
import onnx
import pytest
from gymnasium.utils.env_checker import check_env

from accelerator_sim.engine import evaluate
from accelerator_sim.rectify import build_rectifier
from egrl.environment import ENVIRONMENT_ID
from egrl.environment.features import FEATURES, build_graph
from egrl.environment.judge import build_judge, rewards
from egrl.environment.projection import build_projection
from egrl.evaluators.per_placement import PerPlacementEvaluator
from egrl.placers.base import Budget
from egrl.placers.native import RESIDENT_KINDS, Native
from graph_ir.errors import InputError
from tests.graph_ir.tiny_models import TINY_MODELS
from tests.placers.support import random_problem


@pytest.fixture(scope="module")
def problem():
    return random_problem("nnp-i", 3, 12)


@pytest.mark.parametrize("keep_map", [False, True])
@pytest.mark.parametrize("ops", [1, 9])
def test_gymnasiums_checker_is_content(ops, keep_map):
    env = gymnasium.make(
        ENVIRONMENT_ID, problem=random_problem("nnp-i-partitioned", 1, ops), keep_map=keep_map
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(env.unwrapped)


def test_an_episode_is_one_step(problem):
    env = gymnasium.make(ENVIRONMENT_ID, problem=problem)
    first, _ = env.reset(seed=0)
    assert first["nodes"].shape == (problem.op_count, 21)
    assert not first["nodes"][:, 19:].any()
    action = np.full(problem.op_count * 2, 1)
    after, reward, terminated, truncated, info = env.step(action)
    assert terminated
    assert not truncated
    assert (after["nodes"][:, 19:] == 0.5).all()
    assert (after["nodes"][:, :19] == first["nodes"][:, :19]).all()
    if info["valid"]:
        assert reward == pytest.approx(info["speedup"] ** 2 - 1)
    else:
        assert reward == -1 - info["moved_share"]
    assert not env.reset()[0]["nodes"][:, 19:].any()


def test_kept_maps_begin_the_next_episode(problem):
    env = gymnasium.make(ENVIRONMENT_ID, problem=problem, keep_map=True)
    env.reset(seed=0)
    env.step(np.full(problem.op_count * 2, 2))
    assert (env.reset()[0]["nodes"][:, 19:] == 1.0).all()


def test_a_model_on_a_target_measured_by_the_caller(tmp_path):
    path = tmp_path / "model.onnx"
    onnx.save(next(iter(TINY_MODELS.values()))(), path)
    env = gymnasium.make(
        ENVIRONMENT_ID, model=path, target="nnp-i", evaluator=lambda homes_T: 1.0 + homes_T.sum()
    )
    env.reset(seed=0)
    _, reward, _, _, info = env.step(np.zeros(env.action_space.shape, np.int64))
    assert info["latency_s"] == 1.0
    # `native` puts something further in, which this machine does not like.
    assert info["speedup"] > 1
    assert reward == pytest.approx(info["speedup"] ** 2 - 1)


def test_wrong_arguments_are_named(problem):
    with pytest.raises(InputError, match="either a problem or a model"):
        gymnasium.make(ENVIRONMENT_ID)
    env = gymnasium.make(ENVIRONMENT_ID, problem=problem).unwrapped
    with pytest.raises(InputError, match="from 0 to 2"):
        env.step(np.full(problem.op_count * 2, 3))


def test_the_cases_of_the_reward():
    found = rewards(
        np.array([2.0, 0.5, np.nan, np.nan, 0.0]),
        np.array([True, True, False, True, True]),
        np.array([0.0, 0.0, 0.25, 0.0, 0.0]),
        1.0,
    )
    assert found.tolist() == [-0.75, 3.0, -1.25, -2.0, -2.0]


def test_an_invalid_map_is_rectified_and_not_measured(problem):
    measured = []

    def evaluator(homes_T):
        measured.append(homes_T.copy())
        return evaluate(problem, homes_T)[0]

    judge = build_judge(problem, PerPlacementEvaluator(evaluator))
    measured.clear()
    innermost = np.full((1, problem.op_count, 2), 2, np.int8)
    found = judge.judge(np.concatenate([innermost, judge.empty_map()[np.newaxis]]))
    assert found.valid_P.tolist() == [False, True]
    assert len(measured) == 1
    # By hand: the bytes of the tensors whose tier differs from the one asked for.
    asked_T = judge.projection.homes(innermost)[0]
    moved = [
        tensor.size_bytes
        for t, tensor in enumerate(problem.workload.tensors)
        if tensor.alias_of is None and found.homes_PT[0, t] != asked_T[t]
    ]
    total = sum(t.size_bytes for t in problem.workload.tensors if t.alias_of is None)
    assert found.moved_share_P[0] == pytest.approx(sum(moved) / total)
    assert found.reward_P[0] == -1 - found.moved_share_P[0]
    assert evaluate(problem, found.homes_PT[0])[1] == 0


def test_the_reference_is_native_by_the_same_evaluator(problem):
    native = Native().place(problem, Budget(), np.random.default_rng(0))
    assert build_judge(problem).reference_s == native.latency_s
    assert build_judge(problem, PerPlacementEvaluator(lambda _: 7.0)).reference_s == 7.0
    with pytest.raises(InputError, match="nan"):
        build_judge(problem, PerPlacementEvaluator(lambda _: float("nan")))


@pytest.mark.parametrize("target", ["nnp-i", "nnp-i-partitioned", "ethos-u65-512"])
def test_tensors_follow_the_slot_of_their_first_op(target):
    problem = random_problem(target, 5, 20, share=1.0)
    projection = build_projection(problem, build_rectifier(problem))
    rng = np.random.default_rng(0)
    maps_PNS = rng.integers(len(problem.homes), size=(8, problem.op_count, 2)).astype(np.int8)
    homes_PT = projection.homes(maps_PNS)
    tensors = problem.workload.tensors
    assert problem.allowed_TH[np.arange(len(tensors)), homes_PT].all()
    checked = 0
    for t in problem.free_tensors.tolist():
        first = next(
            n for n, op in enumerate(problem.workload.ops) if t in {o.tensor for o in op.operands}
        )
        slot = 0 if tensors[t].kind in RESIDENT_KINDS else 1
        for p in range(8):
            choice = int(maps_PNS[p, first, slot])
            if problem.allowed_TH[t, choice]:
                assert homes_PT[p, t] == choice
                checked += 1
            else:
                tiers = problem.arrays.tier_H
                assert tiers[homes_PT[p, t]] <= tiers[choice]
    assert checked > 20


def test_features_and_edges(problem):
    graph = build_graph(problem.workload)
    assert graph.features_NF.shape == (problem.op_count, len(FEATURES)) == (12, 19)
    assert graph.features_NF.min() >= 0
    assert graph.features_NF.max() <= 1
    left = graph.features_NF[:, FEATURES.index("n_ops_left")]
    assert (np.diff(left) < 0).all()
    assert left[-1] == 0
    source, sink = graph.edges_2E
    assert (source < sink).all()
    ops = list(problem.workload.ops)
    written = {o.tensor for o in ops[source[0]].operands if o.is_write}
    assert written & {o.tensor for o in ops[sink[0]].operands if not o.is_write}
    # The same ops in another type: bytes change, the data flow does not.
    assert (build_graph(replace(problem.workload, name="other")).edges_2E == graph.edges_2E).all()
