"""Our agent, learning a machine: resumed runs, its checkpoints, its metrics, its file."""

import sys
import zlib
from dataclasses import asdict
from pathlib import Path

import msgspec
import numpy as np
import pytest

from accelerator_sim.engine import evaluate
from egrl.agents.diverged import DivergedError
from egrl.agents.egrl.config import EgrlConfig, load_config
from egrl.cli.main import main
from egrl.evaluators.perturbed import PerturbedEvaluator
from egrl.placers.base import Budget, Search
from egrl.placers.reference import reference_placement
from egrl.training import run as run_module
from egrl.training.checkpoint import read_checkpoint
from egrl.training.egrl import EgrlRun
from egrl.training.metrics import read_metrics
from egrl.training.problem import prepared
from egrl.training.random_state import rng_state, set_rng_state
from egrl.training.settings import config_text, read_tables, resolve
from graph_ir.errors import InputError
from tests.training.support import OURS, kept, ours, train
from tests.training.test_resume import interrupted_at

SHIPPED = Path(__file__).resolve().parents[2] / "configs" / "egrl.toml"


class Odd:
    """A machine that is not as the engine says, and fails on some placements."""

    def __init__(self, problem):
        self.truth = PerturbedEvaluator(problem, 1, 0.5)

    def measure(self, homes_PT):
        seconds = self.truth.measure(homes_PT)
        failed = [zlib.crc32(homes_T.tobytes()) % 5 == 0 for homes_T in homes_PT]
        return np.where(failed, np.nan, seconds)


@pytest.fixture
def odd(monkeypatch):
    monkeypatch.setattr(run_module, "build_machine", lambda problem, _: Odd(problem))


@pytest.mark.parametrize(
    ("generation", "before_state", "agent"),
    [
        (1, True, {}),
        (1, False, {}),
        (3, False, {"tuned_from": 3}),
        (4, True, {"most_measurements": 10, "tuned_on": 6}),
    ],
)
def test_killed_and_resumed_ends_with_the_same_bytes(
    model, tmp_path, monkeypatch, odd, generation, before_state, agent
):
    wanted = ours(model, **agent)
    whole = train(wanted, tmp_path / "whole")
    assert whole.finished
    assert whole.generations > 4
    folder = tmp_path / "killed"
    interrupted_at(generation, monkeypatch, wanted, folder, before_state=before_state)
    train(wanted, folder, resume=True)
    assert kept(folder) == kept(tmp_path / "whole")
    arrays = read_checkpoint(folder / "checkpoint").arrays
    assert np.isinf(arrays["agent.measured"]).any()
    assert np.isfinite(arrays["agent.measured"]).any()


@pytest.fixture(scope="module")
def problem(model):
    return prepared(ours(model).settings).problem


def begun(problem, seed=0, **agent):
    rng = np.random.default_rng(seed)
    config = EgrlConfig(**{**OURS, **agent})
    search = Search(problem, Budget(evaluations=config.evaluations), evaluator=Odd(problem))
    return EgrlRun(problem, config, search, rng), search, rng


def test_generations_say_what_they_measured(problem):
    run, search, _ = begun(problem)
    native_s = float(Odd(problem).truth.measure(reference_placement(problem)[1][np.newaxis])[0])
    assert run.reference_s == native_s
    at, errors = 0, []
    while not search.exhausted:
        told = run.generation()
        new_P = run.arrays()["measured"][at:]
        at += len(new_P)
        valid_P = np.isfinite(new_P)
        assert (told.tried, told.valid) == (len(new_P), valid_P.sum())
        best = (native_s / new_P.min()) ** 2 - 1 if valid_P.any() else -2.0
        assert told.best_reward == pytest.approx(best)
        assert told.gradient_steps == 0
        assert told.losses["noise"] == run.facts().noise_share
        assert ("prediction" in told.losses) == bool(valid_P.any())
        errors.append(told.losses.get("prediction", np.nan))
    arrays = run.arrays()
    truth_M = Odd(problem).measure(arrays["homes"])
    assert np.array_equal(np.where(np.isnan(truth_M), np.inf, truth_M), arrays["measured"])
    modelled_M = np.array([evaluate(problem, homes_T)[0] for homes_T in arrays["homes"]])
    assert np.array_equal(arrays["modelled"], modelled_M)
    # Before anything was measured the model predicts, and that is worse than what was learned.
    run, _, _ = begun(problem)
    count = run.generation().tried
    off_P = np.abs(modelled_M / arrays["measured"] - 1)[:count]
    assert errors[0] == pytest.approx(off_P[np.isfinite(arrays["measured"][:count])].mean())
    assert np.nanmean(errors[-3:]) < 0.5 * errors[0]


def test_what_the_engine_says_needs_no_correction(model, tmp_path):
    assert train(ours(model), tmp_path).finished
    rows = read_metrics(tmp_path)
    assert max(row.losses["prediction"] for row in rows if row.losses) < 1e-9
    assert rows[-1].gap_to_floor is not None


def test_a_restored_learner_draws_the_same_machines(problem):
    run, _, rng = begun(problem, tuned_from=4)
    for _ in range(4):
        run.generation()
    other, _, other_rng = begun(problem, seed=9, tuned_from=4)
    facts = msgspec.json.decode(msgspec.json.encode(run.facts()))
    other.restore({name: array.copy() for name, array in run.arrays().items()}, facts)
    set_rng_state(other_rng, rng_state(rng))
    one, two = run._state, other._state
    assert two.correction.tuned_at > 0
    assert (one.best_s, one.best_T.tobytes()) == (two.best_s, two.best_T.tobytes())
    assert one.known == two.known
    for state in (one, two):
        state.correction.tune()
    ours_, theirs = (state.correction.posterior() for state in (one, two))
    assert ours_.inverse_MM.tobytes() == theirs.inverse_MM.tobytes()
    drawn = ours_.draw(rng, 1.0), theirs.draw(other_rng, 1.0)
    assert drawn[0][0] == drawn[1][0]
    assert drawn[0][1].tobytes() == drawn[1][1].tobytes()


@pytest.fixture(scope="module")
def state(problem):
    run, _, _ = begun(problem)
    for _ in range(3):
        run.generation()
    return dict(run.arrays()), msgspec.to_builtins(run.facts())


@pytest.mark.parametrize(
    ("name", "edit", "message"),
    [
        ("homes", None, "homes: missing"),
        ("measured", None, "homes: expected int8 \\[0, "),
        ("measured", lambda a: a[:-1], "homes: expected int8"),
        ("measured", lambda a: np.array(1.0), "homes: expected int8"),
        ("measured", lambda a: -a, "measured: expected positive numbers"),
        ("measured", lambda a: a * np.nan, "measured: expected positive numbers"),
        ("measured", lambda a: a.astype(np.float32), "measured: expected float64"),
        ("modelled", lambda a: a / 0.0, "modelled: expected positive numbers"),
        ("homes", lambda a: a - 9, "homes: expected homes below"),
        ("model", lambda a: a + 99, "model: expected homes below"),
        ("model", lambda a: a[:-1], "model: expected int8"),
        ("random", lambda a: a * np.uint64(0), "random: expected no zero"),
        ("random", None, "random: missing"),
    ],
)
def test_arrays_that_no_run_kept(problem, state, name, edit, message):
    arrays, facts = dict(state[0]), state[1]
    found = arrays.pop(name)
    with np.errstate(all="ignore"):
        if edit is not None:
            arrays[name] = edit(found)
    with pytest.raises(InputError, match=message) as caught:
        begun(problem)[0].restore(arrays, facts)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "changes",
    [
        {"noise_share": 0.0}, {"spread": -1.0}, {"tuned_at": 10**6}, {"reference_s": 0.0},
        {"spread": "wide"}, {"more": 1},
    ],
)  # fmt: skip
def test_facts_that_no_run_kept(problem, state, changes):
    with pytest.raises(InputError):
        begun(problem)[0].restore(state[0], {**state[1], **changes})


def test_a_checkpoint_of_the_other_agent_is_refused(model, tmp_path, odd):
    train(ours(model), tmp_path)
    path = tmp_path / "checkpoint" / "state.json"
    path.write_text(path.read_text("utf-8").replace('"agent": "egrl"', '"agent": "egrl-paper"'))
    with pytest.raises(InputError, match="agent: expected egrl, got 'egrl-paper'"):
        train(ours(model), tmp_path, resume=True)


def test_the_shipped_file_holds_every_default(tmp_path):
    assert load_config(SHIPPED) == EgrlConfig()
    agent, run = read_tables(SHIPPED)
    assert sorted(agent) == sorted(asdict(EgrlConfig()))
    wanted = resolve(agent, {**run, "workload": "/m.onnx", "target": "nnp-i"}, None, "x")
    assert (wanted.settings.agent, wanted.agent) == ("egrl", EgrlConfig())
    path = tmp_path / "again.toml"
    path.write_text(config_text(wanted), "utf-8")
    assert resolve(*read_tables(path), None, "x") == wanted


MACHINE = """
import json, sys
plan = json.load(open(sys.argv[1]))
inner = plan["tiers"][-1]["name"]
outside = sum(t["size_bytes"] for t in plan["tensors"]
              if any(r["tier"] != inner for r in t["residences"]))
if outside % 5 == 3: sys.exit(1)
print(1e-9 * (1e5 + outside))
"""


def test_training_finds_what_compile_finds(model, tmp_path, capsys):
    script = tmp_path / "machine.py"
    script.write_text(MACHINE, "utf-8")
    file = tmp_path / "c.toml"
    file.write_text("\n".join(f"{key} = {value}" for key, value in OURS.items()), "utf-8")
    machine = ["--evaluator", f"{sys.executable} -S {script}"]
    asked = ["--target", "nnp-i", *machine, "--seed", "5"]
    trained, compiled = tmp_path / "trained", tmp_path / "compiled.egrl"
    flags = ["--agent", "egrl", "--workload", str(model), "--steps", "12", "-o", str(trained)]
    assert main(["train", str(file), *flags, *asked]) == 0, capsys.readouterr().err
    flags = ["--placer", "egrl", "--placer-config", str(trained / "config.toml")]
    flags += ["--budget", "12ev", "-o", str(compiled)]
    assert main(["compile", str(model), *flags, *asked]) == 0, capsys.readouterr().err
    for name in ("main.plan.json", "main.report.json", "manifest.json"):
        assert (compiled / name).read_bytes() == (trained / "best.egrl" / name).read_bytes()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--schedule", "fast"], "train: 'schedule': unknown key of egrl"),
        (["--ablation", "sac-only"], "train: 'ablation': unknown key of egrl"),
        (["--agent", "egrl2"], "agent 'egrl2': expected one of egrl-paper, egrl"),
        (["--evaluator", "false {plan}"], "reference"),
        (["--evaluator", "true {plan}"], "reference"),
    ],
)
def test_wrong_calls_are_one_line(model, tmp_path, capsys, flags, message):
    known = ["--workload", str(model), "--target", "nnp-i", "--agent", "egrl"]
    assert main(["train", *known, *flags, "-o", str(tmp_path / "x")]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert message in lines[0]


class Wild:
    """Latencies that no numbers hold."""

    def measure(self, homes_PT):
        return np.geomspace(1e300, 1e-300, len(homes_PT))


def test_divergence_keeps_the_last_good_checkpoint(model, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(run_module, "build_machine", lambda *_: Wild())
        with pytest.raises(DivergedError, match="last good checkpoint is kept") as caught:
            train(ours(model), tmp_path)
    assert "\n" not in str(caught.value)
    rows = read_metrics(tmp_path)
    assert [row.generation for row in rows] == [1]
    assert rows[0].best_reward is None
    assert read_checkpoint(tmp_path / "checkpoint").state.generation == 1


def test_without_a_machine_a_placer_takes_no_hyper_parameters(model, tmp_path, capsys):
    flags = ["--target", "nnp-i", "--placer", "egrl", "--placer-config", str(SHIPPED)]
    assert main(["compile", str(model), *flags, "-o", str(tmp_path / "x.egrl")]) == 2
    assert "expected --evaluator beside --placer-config" in capsys.readouterr().err
