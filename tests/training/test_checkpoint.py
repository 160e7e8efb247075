"""Checkpoints that are not what they should be are one clear line, and are left as they are."""

import json
import os
import shutil

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from egrl.agents.diverged import DivergedError
from egrl.agents.paper.learner import Learner
from egrl.training import trainer as trainer_module
from egrl.training.checkpoint import TensorFile, read_checkpoint, write_checkpoint
from egrl.training.random_state import rng_state, set_rng_state
from graph_ir.errors import InputError
from tests.training.support import config, kept, train


@pytest.fixture(scope="module")
def finished(model, tmp_path_factory):
    """A run of a few generations; copied, never changed."""
    folder = tmp_path_factory.mktemp("finished") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainer_module, "curve_png", lambda *_: b"")
        train(config(model), folder)
    return folder


@pytest.fixture
def folder(finished, tmp_path):
    return shutil.copytree(finished, tmp_path / "run")


def state_of(folder):
    return json.loads((folder / "checkpoint" / "state.json").read_text("utf-8"))


def edit_state(folder, **changes):
    path = folder / "checkpoint" / "state.json"
    path.write_text(json.dumps({**state_of(folder), **changes}), "utf-8")


def edit_tensors(folder, edit):
    """Change the tensors and make the digest right again."""
    checkpoint = read_checkpoint(folder / "checkpoint")
    arrays = dict(checkpoint.arrays)
    edit(arrays)
    write_checkpoint(folder / "checkpoint", checkpoint.state, arrays)


def refused(wanted, folder, match):
    before = {path: path.read_bytes() for path in (folder / "checkpoint").iterdir()}
    with pytest.raises(InputError, match=match) as caught:
        train(wanted, folder, resume=True)
    assert "\n" not in str(caught.value)
    assert {path: path.read_bytes() for path in (folder / "checkpoint").iterdir()} == before


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "damaged"),
        ("{", "damaged"),
        ("[]", "schema: expected 1, got None"),
        ('{"schema": 99}', "schema: expected 1, got 99"),
        ('{"schema": 1}', "missing required field"),
        ("[" * 100_000, "damaged"),
    ],
)
def test_states_that_are_none(model, folder, text, message):
    (folder / "checkpoint" / "state.json").write_text(text, "utf-8")
    refused(config(model), folder, message)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"generation": "three"}, "generation"),
        ({"agent": "other"}, "agent: expected egrl-paper"),
        ({"problem": "0"}, "another workload or accelerator"),
        ({"config": "0"}, "another configuration"),
        ({"rng": {}}, "rng: expected the state"),
        ({"facts": {"slots": []}}, "missing required field"),
        ({"best_s": None}, "best_s"),
        ({"metrics_bytes": 10**9}, "metrics.jsonl: expected at least"),
        ({"tensors": {"name": "../x.safetensors", "sha256": ""}}, "expected a file of this folder"),
        ({"tensors": {"name": "x.safetensors", "sha256": ""}}, "cannot be read"),
    ],
)
def test_states_of_something_else(model, folder, changes, message):
    edit_state(folder, **changes)
    refused(config(model), folder, message)


@pytest.mark.parametrize("cut", [0, 7, 1000, -1])
def test_truncated_tensors(model, folder, cut):
    path = folder / "checkpoint" / state_of(folder)["tensors"]["name"]
    path.write_bytes(path.read_bytes()[:cut])
    refused(config(model), folder, "damaged")


def test_tensors_whose_digest_is_right_but_which_are_none(model, folder):
    import hashlib

    path = folder / "checkpoint" / "x.safetensors"
    path.write_bytes(b"\x08\x00\x00\x00\x00\x00\x00\x00notjson!")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    edit_state(folder, tensors={"name": path.name, "sha256": digest})
    refused(config(model), folder, "damaged")


def test_another_architecture(model, folder):
    wider = config(model, hidden=16)
    edit_state(folder, config=trainer_module.config_digest(wider))
    refused(
        wider, folder, r"unet.down.0.att_src: expected float32 \[1, 2, 8\], got float32 \[1, 2, 4\]"
    )


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda a: a.pop("agent.critic.unet.pools.0.select.weight"), "critic.unet.*missing"),
        (lambda a: a.update({"agent.map": np.zeros((1, 2), np.int8)}), "map: expected int8"),
        (lambda a: a["agent.replay.action"].fill(99), "replay.action: expected homes"),
        (lambda a: a.pop("agent.replay.reward"), "replay.action: expected int8 maps"),
        (lambda a: a["search.best_homes"].fill(-1), "best_homes: expected homes"),
        (lambda a: a.pop("search.best_homes"), "best_s"),
    ],
)
def test_tensors_that_do_not_fit(model, folder, edit, message):
    edit_tensors(folder, edit)
    refused(config(model), folder, message)


def test_another_workload(model, other_model, folder):
    other = config(other_model)
    edit_state(folder, config=trainer_module.config_digest(other))
    refused(other, folder, "another workload or accelerator")


def test_a_folder_with_a_run_is_not_overwritten(model, folder):
    before = kept(folder)
    with pytest.raises(InputError, match="holds a run already; expected --resume"):
        train(config(model), folder)
    assert kept(folder) == before


def test_one_process_at_a_time(model, folder):
    import fcntl

    handle = os.open(folder / ".lock", os.O_RDWR)
    fcntl.flock(handle, fcntl.LOCK_EX)
    with pytest.raises(InputError, match="another process trains there"):
        train(config(model), folder, resume=True)
    os.close(handle)


@pytest.mark.parametrize("where", ["loss", "weights"])
def test_divergence_keeps_the_last_good_checkpoint(model, tmp_path, monkeypatch, where):
    update, calls = Learner.update, []

    def poisoned(self, batch, rng):
        calls.append(1)
        if len(calls) == 3:
            with torch.no_grad():
                next(iter(self.target.parameters())).fill_(float("nan"))
                if where == "loss":
                    next(iter(self.critic.parameters())).fill_(float("nan"))
        return update(self, batch, rng)

    wanted = config(model)
    with monkeypatch.context() as patch:
        patch.setattr(Learner, "update", poisoned)
        with pytest.raises(DivergedError) as caught:
            train(wanted, tmp_path / "run")
    assert caught.value.exit_code == 3
    assert "\n" not in str(caught.value)
    last = state_of(tmp_path / "run")["generation"]
    assert last >= 1
    arrays = load_file(tmp_path / "run/checkpoint" / state_of(tmp_path / "run")["tensors"]["name"])
    assert all(np.isfinite(array).all() for array in arrays.values())
    # Whatever made it diverge is gone: the run can go on.
    assert train(wanted, tmp_path / "run", resume=True).finished
    train(wanted, tmp_path / "whole")
    assert kept(tmp_path / "run") == kept(tmp_path / "whole")


def test_generators_go_on_where_they_were():
    rng = np.random.default_rng(5)
    rng.integers(10, size=3, dtype=np.uint32)
    kept_state = json.loads(json.dumps(rng_state(rng)))
    expected = rng.random(5).tolist(), rng.integers(7, size=3, dtype=np.uint32).tolist()
    other = np.random.default_rng(0)
    set_rng_state(other, kept_state)
    assert (
        other.random(5).tolist(),
        other.integers(7, size=3, dtype=np.uint32).tolist(),
    ) == expected
    for key, value in (("state", "-1"), ("inc", "x"), ("has_uint32", 7), ("bit_generator", "MT")):
        with pytest.raises(InputError, match="rng"):
            set_rng_state(other, {**kept_state, key: value})


def test_scalars_and_empty_arrays_survive(tmp_path, finished):
    state = read_checkpoint(finished / "checkpoint").state
    arrays = {"scalar": np.array(3.5, np.float32), "empty": np.zeros((0, 2), np.int8)}
    write_checkpoint(tmp_path / "c", state, arrays)
    found = read_checkpoint(tmp_path / "c")
    assert {name: array.shape for name, array in found.arrays.items()} == {
        "scalar": (), "empty": (0, 2)
    }  # fmt: skip
    assert isinstance(found.state.tensors, TensorFile)
