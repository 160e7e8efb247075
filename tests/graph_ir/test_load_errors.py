"""Bad input: one line that says what and where, never a traceback."""

import os
from pathlib import Path

import pytest

from graph_ir.errors import InputError
from graph_ir.load import load_model
from tests.graph_ir.bad_models import BAD_MODELS


@pytest.mark.parametrize("name", sorted(BAD_MODELS))
def test_refused_with_one_line(name, tmp_path: Path) -> None:
    make, expected = BAD_MODELS[name]
    content = make()
    path = tmp_path / "bad.onnx"
    path.write_bytes(content if isinstance(content, bytes) else content.SerializeToString())
    with pytest.raises(InputError) as caught:
        load_model(path)
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    assert expected in message
    assert caught.value.exit_code == 2


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file"):
        load_model(tmp_path / "absent.onnx")


def test_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a file"):
        load_model(tmp_path)


def test_pipe_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.onnx")
    with pytest.raises(InputError, match="not a file"):
        load_model(tmp_path / "pipe.onnx")


def test_nul_in_path() -> None:
    with pytest.raises(InputError, match="not a path"):
        load_model("a\0b.onnx")
