"""The file of hyper-parameters holds all of them, and nothing else is let in."""

import tomllib
from dataclasses import fields, replace
from pathlib import Path

import pytest

from egrl.agents.paper.config import FAST, PaperConfig, load_config
from graph_ir.errors import InputError

FILE = Path(__file__).resolve().parents[2] / "configs" / "egrl-paper.toml"


def test_the_file_holds_every_hyper_parameter():
    assert load_config(FILE) == PaperConfig()
    assert set(tomllib.loads(FILE.read_text("utf-8"))) == {f.name for f in fields(PaperConfig)}


def test_what_is_left_out_keeps_its_default(tmp_path):
    path = tmp_path / "a.toml"
    path.write_text('schedule = "fast"\ngradient_steps_per_evaluation = 0.2\n', "utf-8")
    assert load_config(path) == FAST


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("poplation = 3", "poplation.*unknown key"),
        ("population = 3", "population: expected at least 4, got 3"),
        ("population = 'many'", "population"),
        ("elite_share = 1.5", "elite_share: expected between 0 and 1"),
        ("actor_rate = nan", "actor_rate"),
        ("buffer = 0", "buffer"),
        ("heads = 3", "hidden: expected a multiple of heads"),
        ("schedule = 'slow'", "schedule"),
        ("temperature_low = 11.0", "temperature_low"),
        ("pool_ratio = 0.0", "pool_ratio"),
        ("= 3", "a.toml"),
    ],
)
def test_wrong_files_are_one_line(tmp_path, text, message):
    path = tmp_path / "a.toml"
    path.write_text(text, "utf-8")
    with pytest.raises(InputError, match=message) as caught:
        load_config(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_missing_file(tmp_path):
    with pytest.raises(InputError, match="nowhere"):
        load_config(tmp_path / "nowhere.toml")


def test_ranges_hold_in_code_too():
    with pytest.raises(InputError, match="batch"):
        replace(PaperConfig(), batch=0)
