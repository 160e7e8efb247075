"""`egrl compile --evaluator`: from a model to an artifact by way of somebody else's program."""

import json

import onnx
import pytest

import egrl
from egrl.budget import default_budget, parse_budget
from egrl.cli.main import main
from egrl.evaluators.command import Command
from tests.evaluators.machines import machine
from tests.graph_ir.tiny_models import TINY_MODELS

BUDGET = ["--budget", "12ev"]


@pytest.fixture
def model(tmp_path):
    onnx.save(TINY_MODELS["resnet_bottleneck"](), tmp_path / "model.onnx")
    return tmp_path / "model.onnx"


def arguments(model, *more: str) -> list[str]:
    out = str(model.parent / "out.egrl")
    return ["compile", str(model), "--target", "nnp-i", *more, "-o", out]


def test_the_plan_of_a_machine(model, tmp_path, capsys):
    command = machine(tmp_path, "print(seconds)")
    asked = arguments(model, "--placer", "random-key", "--evaluator", command.line, *BUDGET)
    more = ["--evaluator-repeats", "2", "--evaluator-timeout", "20s", "--evaluator-jobs", "2"]
    assert main([*asked, *more]) == 0
    out = capsys.readouterr().out
    folder = tmp_path / "out.egrl"
    report = json.loads((folder / "main.report.json").read_text())
    manifest = json.loads((folder / "manifest.json").read_text())
    assert report["evaluator"] == manifest["evaluator"] == command.line
    assert report["measured_reference"] == "native"
    # The machine's own answer for the plan that was written.
    namespace: dict[str, object] = {}
    head = (tmp_path / "machine.py").read_text().replace("print(seconds)", "")
    head = head.replace("sys.argv[1]", repr(str(folder / "main.plan.json")))
    exec(head, namespace)
    assert report["measured_s"] == namespace["seconds"]
    # All else is the engine's.
    assert report["latency_s"] != report["measured_s"]
    assert (egrl.simulate([folder])[0]).report.latency_s == report["latency_s"]
    assert "Measured by " in out
    assert "times as fast as native" in out
    assert "placements measured" in out
    assert "failed" not in out
    assert main(["verify", str(folder)]) == 0


def test_the_same_again_is_the_same_bytes(model, tmp_path):
    command = machine(tmp_path, "print(seconds)", jobs=2)
    written = []
    for _ in range(2):
        egrl.compile(
            model, out=tmp_path / "out.egrl", placer="random", budget="8ev", evaluator=command
        )
        written.append({p.name: p.read_bytes() for p in (tmp_path / "out.egrl").iterdir()})
    assert written[0] == written[1]


def test_failures_are_counted_in_the_text(model, tmp_path, capsys):
    # It fails for all but the first plan that it sees, which is the reference.
    body = f"""
if os.path.exists({str(tmp_path / "seen")!r}): sys.exit("too hot")
open({str(tmp_path / "seen")!r}, "w"); print(1.0)
"""
    outcome = main(
        arguments(model, "--placer", "greedy-dp", *BUDGET, "--evaluator",
                  machine(tmp_path, body).line)
    )  # fmt: skip
    captured = capsys.readouterr()
    assert outcome == 3
    assert captured.out == ""
    assert "no feasible placement was found" in captured.err
    assert "too hot" in captured.err
    assert not (tmp_path / "out.egrl").exists()


def test_a_plan_that_cannot_be_measured_again(model, tmp_path, capsys):
    count = str(tmp_path / "count")
    body = f"""
open({count!r}, "a").write("x")
print(seconds) if len(open({count!r}).read()) <= 6 else sys.exit("worn out")
"""
    command = machine(tmp_path, body)
    asked = arguments(model, "--placer", "random", "--budget", "5ev", "--evaluator", command.line)
    assert main(asked) == 0
    out = capsys.readouterr().out
    assert "failed: exit code 1: worn out" in out
    report = json.loads((tmp_path / "out.egrl" / "main.report.json").read_text())
    assert "measured_s" not in report
    assert report["measured_reference_s"] > 0


@pytest.mark.parametrize(
    ("line", "more", "part"),
    [
        ("false", ["--placer", "random"], "reference placement could not be measured: exit code 1"),
        ("true", ["--placer", "random"], "printed nothing"),
        ("no-such-program", ["--placer", "random"], "no program 'no-such-program'"),
        ("true", [], "placer auto: cannot search"),
        ("true", ["--placer", "exact"], "expected one of greedy-dp, random, random-key"),
        ("true", ["--placer", "random", "--evaluator-jobs", "5000"], "jobs: expected 1 to"),
        ("true", ["--placer", "random", "--evaluator-timeout", "99999999s"], "timeout"),
    ],
)
def test_what_cannot_work_is_one_line(model, tmp_path, capsys, line, more, part):
    assert main(arguments(model, *more, "--evaluator", line)) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert part in captured.err
    assert not (tmp_path / "out.egrl").exists()


def test_without_a_machine_nothing_is_said_of_one(model, tmp_path, capsys):
    assert main(arguments(model, "--placer", "acts-first")) == 0
    assert "Measured" not in capsys.readouterr().out
    report = json.loads((tmp_path / "out.egrl" / "main.report.json").read_text())
    assert not {key for key in report if "measured" in key or key == "evaluator"}
    manifest = json.loads((tmp_path / "out.egrl" / "manifest.json").read_text())
    assert "evaluator" not in manifest
    assert manifest["budget"] == "30s"


def test_evaluations_are_counted_by_default_where_they_are_measured():
    assert parse_budget(default_budget(True)).evaluations == 400
    assert parse_budget(default_budget(False)).seconds == 30.0
    assert Command("true").repeats == 1
