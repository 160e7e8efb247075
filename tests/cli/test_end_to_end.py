"""A tiny model through every verb, as a user would."""

import csv
import io
import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest

import egrl
from egrl.cli.main import main
from runtime.npz import read_inputs, write_outputs
from tests.graph_ir.tiny_models import TINY_DIMS, TINY_MODELS

NAME = "resnet_bottleneck"
FAST = ["--placer", "acts-first"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A model, its input, what onnxruntime says of it, and the artifact."""
    path = tmp_path_factory.mktemp("egrl")
    onnx.save(TINY_MODELS[NAME](), path / "model.onnx")
    session = ort.InferenceSession(path / "model.onnx", providers=["CPUExecutionProvider"])
    random = np.random.default_rng(0)
    feeds = {
        port.name: random.standard_normal(port.shape, np.float32) for port in session.get_inputs()
    }
    write_outputs(path / "in.npz", feeds)
    names = [port.name for port in session.get_outputs()]
    write_outputs(path / "expected.npz", dict(zip(names, session.run(names, feeds), strict=True)))
    arguments = ["compile", str(path / "model.onnx"), "--target", "nnp-i", *FAST]
    assert main([*arguments, "-o", str(path / "model.egrl")]) == 0
    return path


def first_tensor(folder: Path, kind: str) -> str:
    plan = json.loads((folder / "model.egrl" / "main.plan.json").read_text())
    return next(t["name"] for t in plan["tensors"] if t["kind"] == kind)


def test_compile_prints_the_report_and_where_it_wrote(folder, tmp_path, capsys):
    out = tmp_path / "again.egrl"
    arguments = ["compile", str(folder / "model.onnx"), "--target", "nnp-i", *FAST]
    assert main([*arguments, "-o", str(out)]) == 0
    captured = capsys.readouterr()
    assert "on nnp-i, fp16, placed by acts-first" in captured.out
    assert captured.out.endswith(f"wrote {out}\n")
    assert all(line.startswith("compile: ") for line in captured.err.splitlines())
    for name in ("manifest.json", "main.plan.json", "main.report.json", "weights.data"):
        assert (out / name).read_bytes() == (folder / "model.egrl" / name).read_bytes(), name


@pytest.mark.parametrize("check", [[], ["--check-plan"]])
def test_run_gives_the_outputs_of_the_model(folder, tmp_path, capsys, check):
    out = tmp_path / "out.npz"
    arguments = ["run", str(folder / "model.egrl"), "--inputs", str(folder / "in.npz")]
    assert main([*arguments, "-o", str(out), *check]) == 0
    captured = capsys.readouterr()
    assert captured.out.endswith(f"wrote {out}\n")
    assert ("plan checked" in captured.out) == bool(check)
    expected, got = read_inputs(folder / "expected.npz"), read_inputs(out)
    assert expected.keys() == got.keys()
    for name, array in expected.items():
        assert np.abs(got[name] - array).max() <= 1e-5 * np.ptp(array)


def test_inspect_and_verify(folder, capsys):
    artifact = str(folder / "model.egrl")
    assert main(["inspect", artifact]) == 0
    out = capsys.readouterr().out
    assert "model.onnx, sha256" in out
    assert "weights.data" in out
    assert main(["verify", artifact]) == 0
    assert "good: 5 files" in capsys.readouterr().out


def test_verify_sees_one_changed_byte(folder, tmp_path, capsys):
    artifact = tmp_path / "bad.egrl"
    artifact.mkdir()
    for path in (folder / "model.egrl").iterdir():
        (artifact / path.name).write_bytes(path.read_bytes())
    data = bytearray((artifact / "weights.data").read_bytes())
    data[17] ^= 1
    (artifact / "weights.data").write_bytes(bytes(data))
    for command in (["verify", str(artifact)],
                    ["run", str(artifact), "--inputs", str(folder / "in.npz"),
                     "-o", str(tmp_path / "out.npz")]):  # fmt: skip
        assert main(command) == 2
        err = capsys.readouterr().err
        assert err.count("\n") == 1
        assert "weights.data" in err
    assert not (tmp_path / "out.npz").exists()


def test_simulate_an_artifact(folder, tmp_path, capsys):
    trace, table = tmp_path / "t.json", tmp_path / "ops.csv"
    arguments = ["simulate", str(folder / "model.egrl"), "--trace", str(trace)]
    assert main([*arguments, "--csv", str(table)]) == 0
    out = capsys.readouterr().out
    assert "on nnp-i, fp16, placed by acts-first" in out
    assert f"wrote {trace}" in out
    report = json.loads((folder / "model.egrl" / "main.report.json").read_text())
    rows = list(csv.DictReader(io.StringIO(table.read_text())))
    assert [row["name"] for row in rows] == [op["name"] for op in report["ops"]]
    assert json.loads(trace.read_text())["otherData"]["latency_s"] == report["latency_s"]


def test_json_is_one_object_and_nothing_else(folder, tmp_path, capsys):
    sources = [str(folder / "model.egrl"), str(folder / "model.egrl")]
    table = tmp_path / "ops.csv"
    assert main(["simulate", *sources, "--json", "--csv", str(table)]) == 0
    captured = capsys.readouterr()
    simulations = json.loads(captured.out)["simulations"]
    report = json.loads((folder / "model.egrl" / "main.report.json").read_text())
    assert [s["report"]["latency_s"] for s in simulations] == [report["latency_s"]] * 2
    assert len(list(tmp_path.iterdir())) == 2


def test_pins_are_kept_or_refused(folder, tmp_path, capsys):
    weight = first_tensor(folder, "weight")
    constraints, out = tmp_path / "c.toml", tmp_path / "pinned.egrl"
    arguments = ["compile", str(folder / "model.onnx"), "--target", "nnp-i", *FAST]
    arguments += ["--constraints", str(constraints), "-o", str(out)]
    for home in ("DRAM", "LLC"):
        constraints.write_text(f'[pins]\n"{weight}" = "{home}"\n')
        assert main(arguments) == 0
        plan = json.loads((out / "main.plan.json").read_text())
        (tensor,) = [t for t in plan["tensors"] if t["name"] == weight]
        assert [r["tier"] for r in tensor["residences"]] == [home]
    before = (out / "manifest.json").read_bytes()
    capsys.readouterr()
    for text, code, part in (
        (f'[pins]\n"{first_tensor(folder, "io")}" = "SRAM"\n', 3, "may not live in SRAM"),
        (f'[pins]\n"{weight}" = "HBM"\n', 2, "no home HBM"),
        ('[pins]\n"no-such" = "DRAM"\n', 2, "no-such"),
        ("[pin]\n", 2, str(constraints)),
        ("pins = ", 2, str(constraints)),
    ):
        constraints.write_text(text)
        assert main(arguments) == code
        captured = capsys.readouterr()
        assert captured.out == ""
        assert part in captured.err.splitlines()[0]
    assert (out / "manifest.json").read_bytes() == before


def test_a_written_problem_can_be_audited(folder, tmp_path, capsys):
    problem = tmp_path / "problem.json"
    arguments = ["compile", str(folder / "model.onnx"), "--target", "nnp-i", *FAST]
    out = tmp_path / "model.egrl"
    assert main([*arguments, "--write-problem", str(problem), "-o", str(out)]) == 0
    capsys.readouterr()
    assert main(["audit", str(problem), "--json"]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    assert isinstance(json.loads(captured.out), dict)


def test_symbolic_dimensions(tmp_path, capsys):
    (name, dims) = next(iter(TINY_DIMS.items()))
    onnx.save(TINY_MODELS[name](), tmp_path / "model.onnx")
    arguments = ["compile", str(tmp_path / "model.onnx"), "--target", "nnp-i", *FAST]
    arguments += ["-o", str(tmp_path / "model.egrl")]
    given = [argument for pair in dims.items() for argument in ("--dim", "{}={}".format(*pair))]
    assert main([*arguments, *given]) == 0
    assert main([*arguments, "--dim", "no_such=3", *given]) == 2
    capsys.readouterr()
    assert main(arguments) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (["--target", "no-such"], 2),
        (["--placer", "no-such"], 2),
        (["--budget", "soon"], 2),
        (["--precision", "fp7"], 2),
        (["--dim", "no_such=2"], 2),
        (["-o", "no/such/folder/out.egrl"], 2),
        (["-o", "model.onnx"], 2),
        (["--constraints", "no-such.toml"], 2),
        (["--write-problem", "no/such/problem.json"], 2),
    ],
)
def test_wrong_values_leave_nothing_behind(folder, tmp_path, monkeypatch, capsys, change, code):
    monkeypatch.chdir(tmp_path)
    data = (folder / "model.onnx").read_bytes()
    Path("model.onnx").write_bytes(data)
    arguments = ["compile", "model.onnx", "--target", "nnp-i", *FAST, "-o", "out.egrl", *change]
    assert main(arguments) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    last = captured.err.splitlines()[-1]
    assert last.startswith("egrl: error: ")
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]
    assert Path("model.onnx").read_bytes() == data


def test_the_python_api_does_the_same(folder, tmp_path):
    out = tmp_path / "api.egrl"
    outcome = egrl.compile(folder / "model.onnx", out=out, target="nnp-i", placer="acts-first")
    assert outcome.path == out
    (simulation,) = egrl.simulate([out])
    assert simulation.report.latency_s == outcome.reports["main"].latency_s
    outputs = egrl.run(out, egrl.read_inputs(folder / "in.npz"))
    assert outputs.keys() == read_inputs(folder / "expected.npz").keys()
    egrl.verify(out)
    with pytest.raises(egrl.InputError):
        egrl.compile(folder / "none.onnx", out=out)
