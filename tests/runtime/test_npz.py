import io
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy
from numpy.lib import format as npy

from graph_ir.errors import InputError
from runtime.npz import read_inputs, write_outputs

ARRAYS = {
    "x": np.arange(12, dtype=np.float32).reshape(3, 4),
    "ids": np.array([[1, -2]], np.int64),
    "/model/flag": np.array(True),
    "empty": np.zeros((0, 3), np.float16),
}


def member(name: str, data: bytes, path: Path) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, data)
    return path


def header(descr: str, shape: str, version: bytes = b"\x01\x00") -> bytes:
    text = f"{{'descr': {descr!r}, 'fortran_order': False, 'shape': {shape}, }}".encode()
    text += b" " * (-(len(text) + 11) % 64) + b"\n"
    return b"\x93NUMPY" + version + len(text).to_bytes(2, "little") + text


def test_round_trip_is_deterministic_and_numpy_reads_it(tmp_path: Path) -> None:
    write_outputs(tmp_path / "a.npz", ARRAYS)
    write_outputs(tmp_path / "b.npz", ARRAYS)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    got = read_inputs(tmp_path / "a.npz")
    assert list(got) == list(ARRAYS)
    for name, array in ARRAYS.items():
        assert got[name].dtype == array.dtype
        np.testing.assert_array_equal(got[name], array)
    with np.load(tmp_path / "a.npz", allow_pickle=False) as loaded:
        np.testing.assert_array_equal(loaded["x"], ARRAYS["x"])


def test_reads_what_numpy_writes(tmp_path: Path) -> None:
    fortran = np.asfortranarray(ARRAYS["x"])
    big_endian = ARRAYS["x"].astype(">f4")
    np.savez_compressed(tmp_path / "a.npz", fortran=fortran, big=big_endian, scalar=np.float64(3))
    got = read_inputs(tmp_path / "a.npz")
    np.testing.assert_array_equal(got["fortran"], ARRAYS["x"])
    np.testing.assert_array_equal(got["big"], ARRAYS["x"])
    assert got["big"].dtype == np.float32
    assert got["big"].flags.c_contiguous
    assert got["scalar"].shape == ()


def test_pickles_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=np.array([{"a": 1}], dtype=object))
    with pytest.raises(InputError, match="Python objects"):
        read_inputs(tmp_path / "a.npz")


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("x.npy", header("<f4", "(1000000, 1000000)") + b"\0" * 16, "does not fit"),
        ("x.npy", header("<f4", "(-4, -1)") + b"\0" * 16, "does not fit"),
        ("x.npy", header("<f4", "(4,)") + b"\0" * 15, "expected 16 bytes"),
        ("x.npy", header("<f4", "(4,)") + b"\0" * 17, "expected 16 bytes"),
        ("x.npy", header("<f4", "__import__('os')"), "cannot read"),
        ("x.npy", header("<U4", "(1,)") + b"\0" * 16, "numbers or booleans"),
        ("x.npy", header("<f4", "(4,)", b"\x09\x00"), "version"),
        ("x.npy", b"", "cannot read"),
        ("x.txt", b"", "one .npy member"),
    ],
)
def test_hostile_members(tmp_path: Path, name: str, data: bytes, message: str) -> None:
    path = member(name, data, tmp_path / "a.npz")
    with pytest.raises(InputError, match=message) as caught:
        read_inputs(path)
    assert "\n" not in str(caught.value)


def test_bombs_are_refused_by_their_stated_size(tmp_path: Path) -> None:
    data = header("|u1", "(5000000,)") + bytes(5_000_000)
    path = member("x.npy", data, tmp_path / "a.npz")
    assert path.stat().st_size < 50_000
    with pytest.raises(InputError, match="at most 4000000"):
        read_inputs(path, max_bytes=4_000_000)


def test_files_that_are_no_archives(tmp_path: Path) -> None:
    for data in (b"", b"PK", b"\x93NUMPY"):
        (tmp_path / "a.npz").write_bytes(data)
        with pytest.raises(InputError, match="cannot read"):
            read_inputs(tmp_path / "a.npz")
    with pytest.raises(InputError, match="No such file"):
        read_inputs(tmp_path / "missing.npz")
    with pytest.raises(InputError):
        read_inputs(tmp_path)


def test_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    write_outputs(path, ARRAYS)
    before = path.read_bytes()
    with pytest.raises(InputError, match="Object arrays"):
        write_outputs(path, {"x": np.array([None])})
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["a.npz"]
    with pytest.raises(InputError, match="it is a folder"):
        write_outputs(tmp_path, ARRAYS)
    with pytest.raises(InputError, match="cannot write"):
        write_outputs(tmp_path / "no" / "a.npz", ARRAYS)


@given(st.binary(max_size=40), st.integers(0, 400), st.integers(0, 255))
def test_damaged_bytes_are_one_line(
    tmp_path_factory: pytest.TempPathFactory, junk: bytes, at: int, value: int
) -> None:
    buffer = io.BytesIO()
    np.savez(buffer, x=ARRAYS["x"])
    data = bytearray(buffer.getvalue())
    data[at : at + len(junk)] = junk
    data[min(at, len(data) - 1)] = value
    path = tmp_path_factory.getbasetemp() / "fuzz.npz"
    path.write_bytes(data)
    try:
        read_inputs(path)
    except InputError as error:
        assert "\n" not in str(error)  # noqa: PT017


@given(
    st_numpy.arrays(
        st.sampled_from([np.float32, np.float64, np.int8, np.int64, np.bool_, np.complex64]),
        st_numpy.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4),
    )
)
def test_any_array_survives(tmp_path_factory: pytest.TempPathFactory, array: np.ndarray) -> None:
    path = tmp_path_factory.getbasetemp() / "any.npz"
    write_outputs(path, {"a": array})
    got = read_inputs(path)["a"]
    assert got.dtype == array.dtype
    assert got.shape == array.shape
    assert got.tobytes() == array.tobytes()


def test_header_of_the_format_is_the_one_numpy_writes() -> None:
    buffer = io.BytesIO()
    npy.write_array_header_1_0(buffer, {"descr": "<f4", "fortran_order": False, "shape": (4,)})
    assert npy.read_magic(io.BytesIO(buffer.getvalue())) == (1, 0)
