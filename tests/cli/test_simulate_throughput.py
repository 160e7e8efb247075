"""`egrl simulate --groups`: an inference per group of cores."""

import json
from pathlib import Path

import onnx
import pytest

from egrl.cli.main import main
from tests.graph_ir.tiny_models import TINY_MODELS


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("groups") / "model.onnx"
    onnx.save(TINY_MODELS["resnet_bottleneck"](), path)
    return path


def report(capsys: pytest.CaptureFixture[str], source: Path, *flags: str) -> dict[str, float]:
    assert main(["simulate", str(source), "--json", "--budget", "50ev", *flags]) == 0
    found: dict[str, float] = json.loads(capsys.readouterr().out)["simulations"][0]["report"]
    return found


def test_groups_trade_latency_for_throughput(model: Path, capsys) -> None:
    one, twelve = report(capsys, model), report(capsys, model, "--groups", "12")
    assert (one["groups"], twelve["groups"]) == (1, 12)
    for got in (one, twelve):
        assert got["throughput_per_s"] == pytest.approx(got["groups"] / got["latency_s"])
    assert twelve["latency_s"] > one["latency_s"]
    assert main(["simulate", str(model), "--budget", "50ev", "--groups", "12"]) == 0
    assert "12 inferences at a time" in capsys.readouterr().out


def test_an_artifact_is_placed_again(model: Path, tmp_path: Path, capsys) -> None:
    out = tmp_path / "a.egrl"
    arguments = ["--target", "nnp-i", "--placer", "acts-first", "-o", str(out)]
    assert main(["compile", str(model), *arguments]) == 0
    capsys.readouterr()
    assert main(["simulate", str(out), "--groups", "4", "--budget", "50ev"]) == 0
    assert "placed again for nnp-i in 4 groups" in capsys.readouterr().out


@pytest.mark.parametrize("groups", ["5", "0", "-2", "24", "x"])
def test_groups_that_do_not_divide_the_cores(model: Path, groups: str, capsys) -> None:
    assert main(["simulate", str(model), f"--groups={groups}"]) == 2
    error = capsys.readouterr().err.strip()
    assert "groups" in error
    assert "expected" in error
