"""Files and flags: what they say, what is refused, and what is written back."""

from pathlib import Path

import pytest

from egrl.agents.paper.config import FAST, PaperConfig, load_config
from egrl.training.settings import (
    Settings,
    config_text,
    first_difference,
    read_tables,
    resolve,
)
from graph_ir.errors import InputError
from tests.training.support import config, config_file

PAPER = Path(__file__).resolve().parents[2] / "configs" / "egrl-paper.toml"
RUN = {"workload": "/m.onnx", "target": "nnp-i"}


def test_the_shipped_file_with_flags():
    agent, run = read_tables(PAPER)
    assert resolve(agent, {**run, **RUN}, None, "x").agent == PaperConfig()
    assert resolve({}, RUN, "fast", "x").agent == FAST
    assert load_config(PAPER.with_name("egrl-paper-fast.toml")) == FAST
    assert resolve({"schedule": "paper"}, RUN, "paper", "x").agent == PaperConfig()


def test_what_is_written_back_is_the_same_run(tmp_path):
    odd = {
        **RUN, "workload": "/a \"b\"\\c\t\x7fé😀/m.onnx", "dims": {"batch": 2, "a.b c": 7},
        "precision": "fp16", "evaluator": "true {plan}", "evaluator_repeats": 3, "seed": 2**60,
        "jobs": 4, "evaluator_timeout_s": 1e-3,
    }  # fmt: skip
    for table, agent in ((odd, {"actor_rate": 1e-05}), (RUN, {"ablation": "gnn-only"})):
        wanted = resolve(agent, table, "fast", "x")
        path = tmp_path / "config.toml"
        path.write_text(config_text(wanted), "utf-8")
        assert resolve(*read_tables(path), None, "x") == wanted
        assert config_text(resolve(*read_tables(path), None, "x")) == config_text(wanted)


def test_paths_of_a_file_are_beside_it(tmp_path):
    path = tmp_path / "c.toml"
    path.write_text('[run]\nworkload = "m.onnx"\ntarget = "mine.toml"\n', "utf-8")
    assert read_tables(path)[1] == {
        "workload": str(tmp_path / "m.onnx"), "target": str(tmp_path / "mine.toml")
    }  # fmt: skip
    path.write_text('[run]\nworkload = "/m.onnx"\ntarget = "nnp-i"\n', "utf-8")
    assert read_tables(path)[1] == {"workload": "/m.onnx", "target": "nnp-i"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("poplation = 3", "'poplation': unknown key of egrl-paper"),
        ("population = 3", "population: expected at least 4, got 3"),
        ("population = 'many'", "population"),
        ("schedule = 'slow'", "schedule"),
        ("= 3", "c.toml: "),
        ("\xff", "c.toml: "),
        ("run = 3", "run: expected a table"),
        ("[run]\nworkload = 3", "workload"),
        ("[run]\nwrkload = 'a'", "wrkload"),
        ("[run]\ntarget = 'nnp-i'", "expected --workload, or workload in the table"),
        ("[run]\nworkload = 'a'", "expected --target, or target in the table"),
        ("[run]\nworkload='a'\ntarget='b'\nagent='c'", "agent 'c': expected one of egrl-paper"),
        ("[run]\nworkload='a'\ntarget='b'\nseed=-1", "seed: expected 0 or more"),
        ("[run]\nworkload='a'\ntarget='b'\njobs=0", "jobs: expected 1 to 1000"),
        ("[run]\nworkload='a'\ntarget='b'\ndims={n=0}", "dims: expected extents above 0"),
        ("[run]\nworkload='a'\ntarget='b'\ncheckpoint_seconds=nan", "checkpoint_seconds"),
        ("[run]\nworkload='a'\ntarget='b'\nevaluator='no-such-program-x'", "no program"),
        ("[run]\nworkload='a'\ntarget='b'\nmachine='real'", "machine"),
        (
            "[run]\nworkload='a'\ntarget='b'\nevaluator='true'\nmachine='detailed'",
            "either evaluator or machine",
        ),
    ],
)
def test_wrong_files_are_one_line(tmp_path, text, message):
    path = tmp_path / "c.toml"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError, match=message) as caught:
        resolve(*read_tables(path), None, str(path))
    assert "\n" not in str(caught.value)
    assert "c.toml" in str(caught.value)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(InputError, match="No such file"):
        read_tables(tmp_path / "none.toml")
    with pytest.raises(InputError, match="Is a directory"):
        read_tables(tmp_path)


def test_differences_that_count(model, tmp_path):
    one = config(model)
    assert first_difference(one, config(model, {"jobs": 9, "checkpoint_seconds": 5.0})) is None
    assert first_difference(config(model, {"seed": 4}), one) == (
        "seed: expected 3 as in the run, got 4"
    )
    assert first_difference(config(model, evaluations=7), one) == (
        "evaluations: expected 130 as in the run, got 7"
    )


def test_every_setting_can_be_in_a_file(tmp_path, model):
    agent, run = read_tables(config_file(tmp_path / "c.toml", model))
    assert set(run) <= set(Settings.__struct_fields__)
    assert resolve(agent, run, None, "x") == config(model, {"seed": 0})
