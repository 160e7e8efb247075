"""The examples do what their pages say."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import onnx
import pytest

from egrl.cli.main import main
from tests.graph_ir.tiny_models import TINY_MODELS

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def example(path: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(Path(path).stem, EXAMPLES / path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def model(tmp_path):
    onnx.save(TINY_MODELS["resnet_bottleneck"](), tmp_path / "model.onnx")
    return tmp_path / "model.onnx"


def test_the_shell_script_stands_for_a_machine(model, tmp_path, capsys):
    script, out = EXAMPLES / "evaluator" / "machine.sh", tmp_path / "out.egrl"
    asked = ["--evaluator", f"'{script}' {{plan}}", "--placer", "random-key", "--budget", "8ev"]
    assert main(["compile", str(model), "--target", "nnp-i", *asked, "-o", str(out)]) == 0
    assert "Measured by" in capsys.readouterr().out
    report = json.loads((out / "main.report.json").read_text())
    plan = out / "main.plan.json"
    told = subprocess.run([script, plan], capture_output=True, text=True, check=True)
    assert float(told.stdout) == report["measured_s"]


def test_the_machine_prefers_inner_memories(model, tmp_path):
    latency_s = example("evaluator/machine.py").latency_s
    found = []
    for placer in ("all-outermost", "greedy"):
        out = tmp_path / f"{placer}.egrl"
        arguments = ["compile", str(model), "--target", "nnp-i", "--placer", placer]
        assert main([*arguments, "-o", str(out)]) == 0
        found.append(latency_s(json.loads((out / "main.plan.json").read_text())))
    assert found[0] > found[1] > 0


def test_another_librarys_agent_learns(model, monkeypatch, capsys):
    pytest.importorskip("stable_baselines3", reason="the extra `examples` is not installed")
    arguments = ["other_agent.py", str(model), "--target", "nnp-i", "--steps", "1536"]
    monkeypatch.setattr(sys, "argv", arguments)
    example("other_agent.py").main()
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("model on nnp-i: ")
    speedups = [float(line.split("speed-up ")[1].split(",")[0]) for line in lines[2:4]]
    assert speedups[1] >= speedups[0]
    assert speedups[1] > 0.9
