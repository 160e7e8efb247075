"""A run that was killed and resumed is the run that was not, byte for byte."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from egrl.training import trainer as trainer_module
from egrl.training.checkpoint import STATE
from tests.training.support import config, config_file, kept, train

ROOT = Path(__file__).resolve().parents[2]


class Killed(BaseException):
    """As if the process were gone."""


def interrupted_at(generation, monkeypatch, wanted, folder, *, before_state):
    """Run until the checkpoint of this generation, which is written in part or in whole."""
    write = trainer_module.write_checkpoint

    def dying(where, state, arrays):
        if state.generation < generation:
            write(where, state, arrays)
            return
        if before_state:
            where.mkdir(exist_ok=True)
            # New tensors are there, and half of a new state beside the old one.
            (where / f"tensors-{state.generation:06d}-x.safetensors").write_bytes(b"half")
            (where / f"{STATE}.new").write_bytes(b"{")
        else:
            write(where, state, arrays)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(trainer_module, "write_checkpoint", dying)
        with pytest.raises(Killed):
            train(wanted, folder)


CASES = [
    (4, {}),
    (2, {"schedule": "paper"}),
    (4, {"ablation": "boltzmann-only"}),
    (9, {"ablation": "sac-only", "evaluations": 30, "learning_start": 5}),
    (3, {"ablation": "no-learner", "evaluations": 70}),
    (3, {"buffer": 40, "schedule": "paper", "evaluations": 100}),
]


@pytest.mark.parametrize(("generation", "agent"), CASES, ids=[str(case[1]) for case in CASES])
def test_killed_and_resumed_ends_with_the_same_bytes(
    model, tmp_path, monkeypatch, generation, agent
):
    wanted = config(model, **agent)
    whole = train(wanted, tmp_path / "whole")
    assert whole.finished
    folder = tmp_path / "killed"
    before_state = generation == 4
    interrupted_at(generation, monkeypatch, wanted, folder, before_state=before_state)
    assert train(wanted, folder, resume=True).evaluations == whole.evaluations
    assert kept(folder) == kept(tmp_path / "whole")
    assert len(list((folder / "checkpoint").glob("*.safetensors"))) == 1


def test_resuming_a_run_that_is_over_changes_nothing(model, tmp_path):
    wanted = config(model)
    train(wanted, tmp_path)
    before = kept(tmp_path)
    assert train(wanted, tmp_path, resume=True).finished
    assert kept(tmp_path) == before


def test_killed_before_the_first_checkpoint(model, tmp_path, monkeypatch):
    wanted = config(model)
    interrupted_at(1, monkeypatch, wanted, tmp_path / "a", before_state=True)
    train(wanted, tmp_path / "a", resume=True)
    train(wanted, tmp_path / "b")
    assert kept(tmp_path / "a") == kept(tmp_path / "b")


def test_checkpoints_far_apart_give_the_same_run(model, tmp_path):
    train(config(model), tmp_path / "often")
    train(config(model, {"checkpoint_seconds": 1e6}), tmp_path / "seldom")
    assert kept(tmp_path / "often") == kept(tmp_path / "seldom")


def process(file, folder, *flags):
    return subprocess.Popen(
        [sys.executable, "-m", "egrl", "train", str(file), "-o", str(folder), *flags],
        cwd=ROOT, env={**os.environ, "PYTHONHASHSEED": "77", "OMP_NUM_THREADS": "2"},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def wait_for_more(running, path, size):
    while running.poll() is None and not (path.exists() and path.stat().st_size > size):
        time.sleep(0.002)


@pytest.mark.slow
def test_a_process_killed_then_one_interrupted_then_one_that_ends(model, tmp_path):
    file = config_file(tmp_path / "c.toml", model, "seed = 3\n", "evaluations = 400\n")
    folder = tmp_path / "run"
    metrics = folder / "metrics.jsonl"
    killed = process(file, folder)
    wait_for_more(killed, metrics, 0)
    # In the next generation, or in the checkpoint of this one: any moment will do.
    time.sleep(int.from_bytes(os.urandom(1)) / 2550)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert killed.returncode == -signal.SIGKILL
    before = metrics.stat().st_size
    stopped = process(file, folder, "--resume")
    wait_for_more(stopped, metrics, before)
    stopped.send_signal(signal.SIGINT)
    out, _ = stopped.communicate()
    assert stopped.returncode == 0
    assert b"stopped early" in out
    assert (folder / "curve.png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    wanted = config(model, evaluations=400)
    train(wanted, folder, resume=True)
    train(wanted, tmp_path / "whole")
    assert kept(folder) == kept(tmp_path / "whole")
