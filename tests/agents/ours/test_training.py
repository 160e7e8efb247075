import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from accelerator_sim.targets import TARGETS
from egrl.agents.egrl import training as training_module
from egrl.agents.egrl.checkpoint import (
    FEATURES,
    FORMAT,
    Policy,
    Provenance,
    load_policy,
    save_policy,
)
from egrl.agents.egrl.folds import FOLDS, is_seen
from egrl.agents.egrl.network import NetworkConfig
from egrl.agents.egrl.pool import Exercise, PoolConfig, build_pool
from egrl.agents.egrl.regret import build_case
from egrl.agents.egrl.solution import solve
from egrl.agents.egrl.train_policy import main
from egrl.agents.egrl.training import Training, TrainingConfig, epoch, policy_of
from egrl.generator.accelerators import GROUPS
from egrl.generator.workloads.registry import FAMILIES
from graph_ir.errors import EgrlError, InputError
from tests.agents.ours.support import generated

CONFIG = TrainingConfig(
    network=NetworkConfig(width=8, rounds=1), steps=6, batch=2, samples=8, seed=3
)


@pytest.fixture(scope="module")
def exercises():
    made = []
    for seed in range(3):
        case = build_case(generated(seed))
        solution = solve(case.problem, case.decoder, None, 300, np.random.default_rng(seed))
        made.append(Exercise(case, solution, "chain", "nnp-i"))
    return made


def test_training_moves_the_policy_towards_solutions(exercises):
    config = TrainingConfig(
        network=NetworkConfig(width=8, rounds=1), steps=40, batch=3, rate=1e-2, regret=0.0,
        imitation=1.0, samples=4,
    )  # fmt: skip
    training = Training(config, exercises)
    losses = [training.advance().loss for _ in range(40)]
    assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:5])


def test_large_exercises_are_in_fewer_epochs(exercises):
    ops = [exercise.case.problem.op_count for exercise in exercises]
    largest = ops.index(max(ops))
    rng = np.random.default_rng(0)
    epochs = [epoch(exercises, max(ops) // 2, rng) for _ in range(2000)]
    assert all(len(set(one)) == len(one) for one in epochs)
    share = np.mean([largest in one for one in epochs])
    assert share == pytest.approx((max(ops) // 2) / max(ops), abs=0.05)
    small = [i for i, count in enumerate(ops) if count <= max(ops) // 2]
    assert all(i in one for i in small for one in epochs)
    whole = [epoch(exercises, max(ops), rng) for _ in range(50)]
    assert all(sorted(one) == list(range(len(ops))) for one in whole)
    assert len({tuple(one) for one in whole}) > 1


def test_resumed_ends_with_the_same_bytes(exercises, tmp_path):
    whole = Training(CONFIG, exercises)
    for _ in range(6):
        whole.advance()
    first = Training(CONFIG, exercises)
    for _ in range(3):
        first.advance()
    first.save(tmp_path / "c")
    second = Training(CONFIG, exercises)
    second.restore(tmp_path / "c")
    assert second.step == 3
    for _ in range(3):
        second.advance()
    for name, value in policy_of(whole).items():
        assert value.tobytes() == policy_of(second)[name].tobytes(), name


def test_a_checkpoint_of_another_configuration_is_refused(exercises, tmp_path):
    training = Training(CONFIG, exercises)
    training.save(tmp_path / "c")
    other = Training(TrainingConfig(network=NetworkConfig(width=16)), exercises)
    with pytest.raises(InputError, match="another configuration"):
        other.restore(tmp_path / "c")
    (tmp_path / "c").write_bytes((tmp_path / "c").read_bytes()[:100])
    with pytest.raises(InputError, match="not readable"):
        training.restore(tmp_path / "c")


def test_divergence_is_an_error(exercises, monkeypatch):
    training = Training(CONFIG, exercises)
    monkeypatch.setattr(
        training_module, "imitation_loss", lambda *_: torch.tensor(float("nan"), requires_grad=True)
    )
    with pytest.raises(EgrlError, match="diverged at step 0"):
        training.advance()


def provenance(**changes):
    facts = {"run": "r", "seed": 0, "steps": 1, "problems": 1, "without": []}
    facts |= {"tool_version": "0", "features": FEATURES}
    return Provenance(**{**facts, **changes})


def test_policies_are_read_as_they_were_written(tmp_path):
    path = tmp_path / "p.safetensors"
    weights = {"a": np.arange(4, dtype=np.float32)}
    save_policy(path, Policy(weights, provenance(without=["chain"])))
    found = load_policy(path)
    assert found.provenance.without == ["chain"]
    assert np.array_equal(found.weights["a"], weights["a"])
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "expected a file"),
        (lambda path: path.write_bytes(b"\x80\x04pickle"), "not readable"),
        (lambda path: save_file({"a": np.zeros(2, np.float32)}, path), "expected format"),
        (
            lambda path: save_file({"a": np.zeros(2, np.float32)}, path, {"format": FORMAT}),
            "provenance",
        ),
        (
            lambda path: save_policy(path, Policy({}, provenance(features={**FEATURES, "op": 1}))),
            "made for features",
        ),
        (
            lambda path: save_policy(
                path, Policy({"a": np.array([np.nan], np.float32)}, provenance())
            ),
            "expected finite",
        ),
        (
            lambda path: save_policy(path, Policy({"a": np.zeros(2)}, provenance())),
            "expected float32",
        ),
    ],
)
def test_damaged_policies_are_refused(tmp_path, make, message):
    path = tmp_path / "p.safetensors"
    make(path)
    with pytest.raises(InputError, match=message) as caught:
        load_policy(path)
    assert "\n" not in str(caught.value)


def test_the_shipped_policy_names_its_run():
    found = load_policy()
    assert found.provenance.run.startswith("scripts/train_policy --seed")
    assert found.provenance.without == []


def test_a_pool_is_the_same_drawn_or_read_and_for_any_number_of_jobs(tmp_path):
    config = PoolConfig(problems=2, seed=5, op_range=(20, 25))
    drawn = build_pool(config, tmp_path / "one", jobs=1)
    read = build_pool(config, tmp_path / "one", jobs=1)
    other = build_pool(config, tmp_path / "two", jobs=2)
    for a, b, c in zip(drawn, read, other, strict=True):
        assert a.solution.homes_T.tobytes() == b.solution.homes_T.tobytes()
        assert a.solution.homes_T.tobytes() == c.solution.homes_T.tobytes()
        assert a.family == c.family
    with pytest.raises(InputError, match="another pool"):
        build_pool(PoolConfig(2, 6, (30, 60)), tmp_path / "one", jobs=1)


def test_train_policy_writes_a_policy_of_each_fold(tmp_path, capsys):
    arguments = ["--folder", str(tmp_path / "run"), "-o", str(tmp_path / "p.safetensors")]
    arguments += ["--problems", "3", "--steps", "2", "--most-ops", "25", "--jobs", "1"]
    assert main([*arguments, "--fold", "encoder"]) == 0
    found = load_policy(tmp_path / "p.encoder.safetensors")
    assert found.provenance.without == ["encoder", "tpu", "ane"]
    assert "step 2 of 2" in capsys.readouterr().out


def test_folds_leave_out_what_they_judge():
    named = [family for fold in FOLDS for family in fold.families]
    assert sorted(named) == sorted(FAMILIES)
    grouped = [group for fold in FOLDS for group in fold.groups]
    assert sorted(grouped) == sorted(set(GROUPS.values()))
    for fold in FOLDS:
        for target in fold.targets:
            assert target in TARGETS
            assert GROUPS.get(target, fold.groups[0]) in fold.groups
            assert target not in GROUPS or not is_seen(fold, "nothing", target)
        for family in fold.families:
            assert not is_seen(fold, family, "nnp-i")
        assert is_seen(None, fold.families[0], "nnp-i")
