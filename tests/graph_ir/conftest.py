"""Fixtures of the graph_ir tests."""

from collections.abc import Callable
from pathlib import Path

import onnx
import pytest

from graph_ir.load import load_model
from graph_ir.model import Model
from tests.graph_ir.tiny_models import TINY_DIMS, TINY_MODELS


@pytest.fixture
def load_tiny(tmp_path: Path) -> Callable[[str], tuple[onnx.ModelProto, Model]]:
    """A tiny model as protobuf and as `load_model` reads it."""

    def load(name: str) -> tuple[onnx.ModelProto, Model]:
        proto = TINY_MODELS[name]()
        path = tmp_path / f"{name}.onnx"
        onnx.save(proto, path)
        return proto, load_model(path, TINY_DIMS.get(name, {}))

    return load
