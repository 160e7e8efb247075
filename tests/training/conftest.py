"""A model of a few ops, and one thread: the networks of these tests are too small to share."""

from pathlib import Path

import onnx
import pytest
import torch

from egrl.training import trainer as trainer_module
from tests.graph_ir.tiny_models import TINY_MODELS


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def model(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("models") / "model.onnx"
    onnx.save(TINY_MODELS["resnet_bottleneck"](), path)
    return path


@pytest.fixture(scope="session")
def other_model(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("models") / "other.onnx"
    onnx.save(TINY_MODELS["mobile_block"](), path)
    return path


@pytest.fixture(autouse=True)
def no_picture(monkeypatch):
    """Drawing takes longer than these runs; what draws is tested through the command."""
    monkeypatch.setattr(trainer_module, "curve_png", lambda *_: b"")
