"""The fitted rule: feasible, repeatable, blind to the order of tensors; its fit and its file."""

from dataclasses import replace

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelerator_sim.problem import PlacementProblem, build_problem
from egrl.placers.acts_first import ActsFirst
from egrl.placers.base import Budget
from egrl.placers.decoder import build_decoder
from egrl.placers.linear_features import FEATURES, linear_features
from egrl.placers.linear_fit import START, build_sample, fit, loss, main, mean_loss
from egrl.placers.linear_rule import SHIPPED, LinearRule, build_scorable, read_weights, rule_homes
from graph_ir.errors import InputError, UnmetRequirementError
from tests.accelerator_sim.cases import problems
from tests.placers.support import TARGETS, check_result, random_problem


def placed(problem: PlacementProblem) -> float:
    return LinearRule().place(problem, Budget(), np.random.default_rng(0)).latency_s


@settings(max_examples=20)
@given(
    target=st.sampled_from(TARGETS),
    seed=st.integers(0, 2**32 - 1),
    ops=st.integers(1, 40),
    share=st.sampled_from((0.02, 0.1, 1.0)),
)
def test_it_fits(target, seed, ops, share):
    problem = random_problem(target, seed, ops, share)
    result = LinearRule().place(problem, Budget(), np.random.default_rng(0))
    check_result(problem, result)


@settings(max_examples=30)
@given(
    problem=problems(max_ops=12),
    weights=st.lists(st.floats(-9, 9), min_size=len(FEATURES), max_size=len(FEATURES)),
)
def test_any_weights_fit_on_any_machine(problem, weights):
    scorable = build_scorable(build_decoder(problem))
    assert np.isfinite(scorable.features_THF).all()
    try:
        homes_T = rule_homes(scorable, np.array(weights))
    except UnmetRequirementError:
        return
    assert problem.allowed_TH[np.arange(problem.tensor_count), homes_T].all()


@pytest.mark.parametrize("target", TARGETS)
def test_the_order_of_the_tensors_does_not_matter(target):
    problem = random_problem(target, 5, 40)
    workload = problem.workload
    rng = np.random.default_rng(0)
    for _ in range(3):
        order = rng.permutation(len(workload.tensors))
        new_index = np.argsort(order)
        ops = tuple(
            replace(
                op,
                operands=tuple(
                    replace(operand, tensor=int(new_index[operand.tensor]))
                    for operand in op.operands
                ),
            )
            for op in workload.ops
        )
        tensors = tuple(workload.tensors[t] for t in order)
        permuted = build_problem(replace(workload, ops=ops, tensors=tensors), problem.accelerator)
        assert placed(permuted) == pytest.approx(placed(problem), rel=1e-12)


@pytest.mark.parametrize("target", TARGETS)
def test_the_features_have_no_units(target):
    """A machine and a model with everything twice as large look the same."""
    features_THF = linear_features(build_decoder(random_problem(target, 3, 30)))
    assert features_THF.shape[2] == len(FEATURES)
    assert np.abs(features_THF).max() < 20.0


def test_the_weights_that_the_fit_begins_with_are_about_acts_first():
    weights_F = np.array([START.get(name, 0.0) for name in FEATURES])
    sample = build_sample(random_problem("nnp-i", 8, 60))
    assert sample is not None
    problem = sample.scorable.decoder.problem
    acts_first_s = ActsFirst().place(problem, Budget(), np.random.default_rng(0)).latency_s
    assert loss(sample, weights_F) == pytest.approx(np.log(acts_first_s / sample.best_s), abs=0.02)


def test_the_fit_improves_on_its_start():
    drawn = [build_sample(random_problem("nnp-i", seed, 30)) for seed in range(4)]
    kept = [sample for sample in drawn if sample is not None]
    start_F = np.array([START.get(name, 0.0) for name in FEATURES])
    weights_F = fit(kept, np.random.default_rng(0), generations=12, population=8)
    assert mean_loss(kept, weights_F) < mean_loss(kept, start_F)


def test_a_fit_gives_the_same_bytes_again(tmp_path):
    outs = [tmp_path / "a.json", tmp_path / "b.json", tmp_path / "c.json"]
    for out, seed in zip(outs, ("3", "3", "4"), strict=True):
        arguments = ["--problems", "2", "--generations", "2", "--population", "4"]
        main([*arguments, "--most-ops", "30", "--seed", seed, "-o", str(out)])
    assert outs[0].read_bytes() == outs[1].read_bytes()
    assert outs[0].read_bytes() != outs[2].read_bytes()
    assert read_weights(outs[0]).seed == 3


def test_the_shipped_weights_say_where_they_come_from():
    shipped = read_weights(SHIPPED)
    assert shipped.problems >= 50
    assert shipped.held_out < shipped.acts_first


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "malformed|truncated"),
        (b'{"schema": 1}', "missing required field"),
        (msgspec.json.encode({"weights": {}}), "missing required field"),
    ],
)
def test_a_broken_file_of_weights(tmp_path, content, message):
    path = tmp_path / "weights.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_weights(path)


def test_weights_of_other_features(tmp_path):
    known = read_weights(SHIPPED)
    path = tmp_path / "weights.json"
    for weights in ({"depth": 1.0}, known.weights | {"depth": 1e999}):
        text = msgspec.json.encode(msgspec.structs.replace(known, weights=weights))
        path.with_name(f"{len(weights)}.json").write_bytes(text.replace(b"null", b"1e999"))
        with pytest.raises(InputError, match="weights"):
            read_weights(path.with_name(f"{len(weights)}.json"))
    with pytest.raises(InputError, match="cannot be read"):
        read_weights(tmp_path / "none.json")
