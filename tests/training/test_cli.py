"""`egrl train` as a user meets it."""

import json
import struct
import sys
from pathlib import Path

import pytest

from egrl.cli import train as verb
from egrl.cli.main import main
from egrl.training import trainer as trainer_module
from egrl.training.curve import curve_png
from tests.training.support import config_file, kept

ROOT = Path(__file__).resolve().parents[2]
TINY = "hidden = 8\ndepth = 1\nheads = 2\nbatch = 4\n"


def small_file(path, more=""):
    path.write_text(
        f'schedule = "fast"\n{TINY}gradient_steps_per_evaluation = 0.1\n{more}', "utf-8"
    )
    return str(path)


def scalars(folder):
    """Tags and steps of the TensorBoard events of a run."""
    from tensorboardX.proto.event_pb2 import Event

    found = []
    for path in sorted(folder.glob("events.out.tfevents.*")):
        data = path.read_bytes()
        while data:
            (size,) = struct.unpack("<Q", data[:8])
            event = Event.FromString(data[12 : 12 + size])
            found += [(value.tag, event.step) for value in event.summary.value]
            data = data[16 + size :]
    return found


@pytest.fixture
def pictures(monkeypatch):
    monkeypatch.setattr(trainer_module, "curve_png", curve_png)


def test_a_file_and_flags_give_a_whole_run(model, tmp_path, capsys, pictures):
    folder = tmp_path / "run"
    flags = ["--workload", str(model), "--target", "nnp-i", "--steps", "70", "--seed", "9"]
    code = main(["train", small_file(tmp_path / "c.toml"), *flags, "-o", str(folder)])
    captured = capsys.readouterr()
    assert code == 0, captured.err
    assert "4 generations, 70 evaluations" in captured.out
    assert captured.err.startswith("train: generation 1, 23/70 evaluations")
    assert "s left, best " in captured.err
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [row["generation"] for row in rows] == [1, 2, 3, 4]
    assert [row["evaluations"] for row in rows] == [23, 45, 67, 70]
    best = [row["best_s"] for row in rows]
    assert best == sorted(best, reverse=True)
    for row in rows:
        assert 0 <= row["valid_share"] <= 1
        assert row["gap_to_floor"] >= 0
        assert row["speedup_over_native"] > 0
        assert (row["gradient_steps"] > 0) == bool(row["losses"])
    assert any(set(row["losses"]) == {"critic", "actor"} for row in rows)
    timing = [json.loads(line) for line in (folder / "timing.jsonl").read_text().splitlines()]
    assert [row["generation"] for row in timing] == [1, 2, 3, 4]
    picture = (folder / "curve.png").read_bytes()
    assert picture.startswith(b"\x89PNG\r\n\x1a\n")
    assert len(picture) > 5000
    assert {"egrl", "python", "torch", "numba"} <= set(
        json.loads((folder / "versions.json").read_text())
    )
    written = scalars(folder / "tensorboard")
    assert [step for tag, step in written if tag == "latency/best_s"] == [1, 2, 3, 4]
    assert ("loss/critic", 4) in written or ("loss/critic", 3) in written
    text = (folder / "config.toml").read_text("utf-8")
    assert "evaluations = 70" in text
    assert "seed = 9" in text
    assert f'workload = "{model}"' in text
    # The same search from the other verb: the hyper-parameters are in the file of the run.
    compiled = tmp_path / "compiled.egrl"
    flags = ["--placer", "egrl-paper", "--placer-config", str(folder / "config.toml")]
    flags += ["--budget", "70ev", "--seed", "9", "--target", "nnp-i", "-o", str(compiled)]
    assert main(["compile", str(model), *flags]) == 0
    assert main(["verify", str(folder / "best.egrl")]) == 0
    for name in ("main.plan.json", "main.report.json", "manifest.json"):
        assert (compiled / name).read_bytes() == (folder / "best.egrl" / name).read_bytes()
    # The file written back makes the same run.
    again = tmp_path / "again"
    assert main(["train", str(folder / "config.toml"), "-o", str(again)]) == 0
    assert kept(again) == kept(folder)


def test_resume_needs_no_file(model, tmp_path, capsys):
    folder = tmp_path / "run"
    path = config_file(tmp_path / "c.toml", model, agent="evaluations = 40\n")
    assert main(["train", str(path), "-o", str(folder)]) == 0
    before = kept(folder)
    assert main(["train", "--resume", "-o", str(folder)]) == 0
    assert main(["train", str(folder / "config.toml"), "--resume"]) == 0
    assert kept(folder) == before
    capsys.readouterr()
    for flags, message in (
        ([], "holds a run already"),
        (["--resume", "--seed", "4"], "seed: expected 0 as in the run, got 4"),
        (["--resume", "--steps", "99"], "evaluations: expected 40 as in the run, got 99"),
        (["--resume", "--ablation", "gnn-only"], "ablation: expected 'none'"),
    ):
        assert main(["train", str(path), *flags, "-o", str(folder)]) == 2
        assert message in capsys.readouterr().err
    assert kept(folder) == before


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([], "expected -o RUN_DIR"),
        (["-o", "x"], "expected --workload"),
        (["--workload", "none.onnx", "--target", "nnp-i", "-o", "x"], "none.onnx"),
        (["--workload", "none.onnx", "--target", "nnp-i", "--schedule", "slow", "-o", "x"], "slow"),
        (["--workload", "m", "--target", "nnp-i", "--ablation", "all", "-o", "x"], "ablation"),
        (["--workload", "m", "--target", "nnp-i", "--agent", "me", "-o", "x"], "agent 'me'"),
        (["--evaluator-repeats", "3", "-o", "x"], "expected --evaluator beside it"),
        (["--resume", "-o", "x"], "x.config.toml: No such file"),
        (["none.toml"], "none.toml: No such file"),
        (["--steps", "0", "-o", "x"], "--steps"),
    ],
)
def test_wrong_calls_are_one_line(flags, message, tmp_path, monkeypatch, capsys):
    import re

    monkeypatch.chdir(tmp_path)
    assert main(["train", *flags]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert re.search(message, lines[0])


def test_a_missing_package_is_said_before_anything_begins(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(verb, "NEEDED", {"some-package": "no_such_module_x"})
    assert main(["train", "-o", str(tmp_path / "x")]) == 2
    assert "needs some-package; expected egrl[train]" in capsys.readouterr().err
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("machine", ["command", "detailed"])
def test_jobs_change_nothing(model, tmp_path, machine, capsys):
    script = tmp_path / "machine.py"
    script.write_text(
        "import json, sys\n"
        "plan = json.load(open(sys.argv[1]))\n"
        "inner = plan['tiers'][-1]['name']\n"
        "outside = sum(t['size_bytes'] for t in plan['tensors']\n"
        "              if any(r['tier'] != inner for r in t['residences']))\n"
        "if outside % 5 == 3: sys.exit(1)\n"
        "print(1e-6 * (1 + outside))\n",
        "utf-8",
    )
    asked = ["--evaluator", f"{sys.executable} {script}"] if machine == "command" else [
        "--machine", machine
    ]  # fmt: skip
    path = small_file(tmp_path / "c.toml", "population = 4\nlearning_start = 4\n")
    flags = ["--workload", str(model), "--target", "nnp-i", "--steps", "15", *asked]
    for jobs in ("1", "2"):
        folder = str(tmp_path / jobs)
        assert main(["train", path, *flags, "--jobs", jobs, "-o", folder]) == 0, capsys.readouterr()
    assert kept(tmp_path / "1") == kept(tmp_path / "2")
    rows = (tmp_path / "1" / "metrics.jsonl").read_text().splitlines()
    assert all(json.loads(row)["gap_to_floor"] is None for row in rows)


def test_hyper_parameters_of_a_placer_that_has_none(model, tmp_path, capsys):
    path = small_file(tmp_path / "c.toml", "poplation = 3\n")
    flags = ["--target", "nnp-i", "--placer-config", path, "-o", str(tmp_path / "x.egrl")]
    for placer, message in (
        ("greedy", "placer greedy: takes no --placer-config; expected one of egrl, egrl-paper"),
        ("egrl-paper", "'poplation': unknown key"),
    ):
        assert main(["compile", str(model), "--placer", placer, *flags]) == 2
        assert message in capsys.readouterr().err
