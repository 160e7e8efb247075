"""Every source is read before any is placed."""

from pathlib import Path

import onnx
import pytest

from egrl import simulation
from egrl.cli.main import main
from tests.graph_ir.tiny_models import TINY_MODELS


def test_a_bad_last_source_is_found_before_the_first_is_placed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    good, bad = tmp_path / "good.onnx", tmp_path / "bad.onnx"
    onnx.save(TINY_MODELS["resnet_bottleneck"](), good)
    bad.write_bytes(b"not a model")
    placed: list[object] = []
    monkeypatch.setattr(simulation, "place", lambda *given: placed.append(given))
    assert main(["simulate", str(good), str(bad)]) == 2
    assert "bad.onnx" in capsys.readouterr().err
    assert placed == []
