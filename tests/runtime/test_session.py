from pathlib import Path

import numpy as np
import pytest

from graph_ir.errors import InputError
from runtime.execute import run_artifact
from runtime.load import load_artifact
from runtime.session import Port, check_inputs
from tests.runtime.tiny import ROWS, WIDTH, tiny_inputs, write_tiny

FLOAT = Port("x", np.dtype(np.float32), (2,))
TOKENS = Port("ids", np.dtype(np.int32), (2,))
FLAG = Port("flag", np.dtype(np.bool_), ())


@pytest.mark.parametrize(
    ("port", "array"),
    [
        (FLOAT, np.array([1, 2], np.int64)),
        (FLOAT, np.array([0.5, np.nan], np.float64)),
        (FLOAT, np.array([0.1, -0.0], np.float16)),
        (FLOAT, np.array([0.1, 0.2], ">f4")),
        (TOKENS, np.array([0, 2**31 - 1], np.int64)),
        (TOKENS, np.array([3.0, 4.0])),
        (FLAG, np.array(True)),
    ],
)
def test_casts_that_keep_every_value(port: Port, array: np.ndarray) -> None:
    got = check_inputs((port,), {port.name: array})[port.name]
    assert got.dtype == port.dtype
    assert got.shape == port.shape
    assert got.flags.c_contiguous
    np.testing.assert_array_equal(got.astype(np.float64), array.astype(np.float64))


@pytest.mark.parametrize(
    ("port", "array"),
    [
        (FLOAT, np.array([0.1, 0.2])),
        (FLOAT, np.array([1e300, 0.0])),
        (FLOAT, np.array([2**24 + 1, 0], np.int64)),
        (FLOAT, np.array([True, False])),
        (FLOAT, np.array(["1", "2"])),
        (FLOAT, np.array([1 + 2j, 0])),
        (TOKENS, np.array([0, 2**31], np.int64)),
        (TOKENS, np.array([0.5, 0.0])),
        (TOKENS, np.array([np.nan, 0.0])),
        (TOKENS, np.array([2**32 - 1, 0], np.uint32)),
        (FLAG, np.array(1)),
    ],
)
def test_casts_that_would_change_a_value_are_refused(port: Port, array: np.ndarray) -> None:
    with pytest.raises(InputError, match=f"'{port.name}': expected {port.dtype}"):
        check_inputs((port,), {port.name: array})


def test_names_and_shapes() -> None:
    x = np.zeros(2, np.float32)
    with pytest.raises(InputError, match="'ids': missing; expected int32"):
        check_inputs((FLOAT, TOKENS), {"x": x})
    with pytest.raises(InputError, match="'y': unknown; expected x, ids"):
        check_inputs((FLOAT, TOKENS), {"x": x, "ids": x, "y": x})
    with pytest.raises(InputError, match=r"'x': expected shape \[2\], got \[2, 1\]"):
        check_inputs((FLOAT,), {"x": x.reshape(2, 1)})


def test_run(tmp_path: Path) -> None:
    write_tiny(tmp_path / "a.egrl")
    artifact = load_artifact(tmp_path / "a.egrl")
    got = run_artifact(artifact, tiny_inputs(), threads=2)
    assert got["y"].shape == (ROWS, WIDTH)
    with pytest.raises(InputError, match="graph 'decode': expected one of main"):
        run_artifact(artifact, tiny_inputs(), graph="decode")
    write_tiny(tmp_path / "a.egrl")
    with pytest.raises(InputError, match="was replaced"):
        run_artifact(artifact, tiny_inputs())
