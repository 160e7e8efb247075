"""The reader of GGUF files: values, and files that lie about themselves."""

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from model_set.gguf_file import GgufFile

from graph_ir.errors import InputError
from tests.models.tiny_gguf import gguf_bytes

# Scale 0.5, offset -1; byte i holds i in the low half and 15 - i in the high half.
Q4_1 = struct.pack("<ee", 0.5, -1.0) + bytes(i | (15 - i) << 4 for i in range(16))
Q4_1_VALUES = [0.5 * i - 1 for i in range(16)] + [0.5 * (15 - i) - 1 for i in range(16)]
Q8_0 = struct.pack("<e32b", 0.25, *range(-16, 16))
Q8_0_VALUES = [0.25 * i for i in range(-16, 16)]
PLAIN = struct.pack("<6f", *range(6))
VALID = gguf_bytes(
    {"general.name": "tiny", "a.count": 3, "a.rate": 0.5, "a.words": ["x", "yz"]},
    {
        "plain": ((2, 3), 0, PLAIN),
        "q4": ((2, 32), 3, Q4_1 + Q4_1),
        "q8": ((32,), 8, Q8_0),
    },
)


@pytest.fixture
def tiny(tmp_path):
    path = tmp_path / "tiny.gguf"
    path.write_bytes(VALID)
    return GgufFile(path)


def test_metadata(tiny):
    assert tiny.metadata["general.name"] == "tiny"
    assert tiny.integer("a.count") == 3
    assert tiny.number("a.rate") == 0.5
    assert tiny.strings("a.words") == ["x", "yz"]


def test_plain_tensor_has_its_slowest_axis_first(tiny):
    np.testing.assert_array_equal(tiny.read("plain"), [[0, 1, 2], [3, 4, 5]])


def test_q4_1_low_nibbles_come_first(tiny):
    np.testing.assert_array_equal(tiny.read("q4"), [Q4_1_VALUES, Q4_1_VALUES])


def test_q8_0_is_signed(tiny):
    np.testing.assert_array_equal(tiny.read("q8"), Q8_0_VALUES)


@pytest.mark.parametrize("ask", ["integer", "number", "strings"])
def test_metadata_of_another_kind_is_an_input_error(tiny, ask):
    with pytest.raises(InputError, match="expected"):
        getattr(tiny, ask)("general.name")


def test_missing_tensor_is_an_input_error(tiny):
    with pytest.raises(InputError, match="expected a tensor nothing"):
        tiny.read("nothing")


@given(size=st.integers(4, len(VALID) - 1))
def test_truncated_file_is_an_input_error(tmp_path_factory, size):
    path = tmp_path_factory.mktemp("cut") / "cut.gguf"
    path.write_bytes(VALID[:size])
    with pytest.raises(InputError, match=r"cut\.gguf"):
        GgufFile(path).read("q8")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ((0, b"GGML"), "GGUF file of version 3"),
        ((4, struct.pack("<I", 2)), "GGUF file of version 3"),
        ((8, struct.pack("<Q", 1 << 60)), "bytes at"),
        ((24, struct.pack("<Q", 1 << 62)), "bytes at"),
    ],
)
def test_lying_header_is_an_input_error(tmp_path, change, message):
    at, raw = change
    path = tmp_path / "bad.gguf"
    path.write_bytes(VALID[:at] + raw + VALID[at + len(raw) :])
    with pytest.raises(InputError, match=message):
        GgufFile(path)


def test_huge_extent_is_refused_before_it_is_read(tmp_path):
    path = tmp_path / "huge.gguf"
    path.write_bytes(gguf_bytes({}, {"w": ((1 << 40, 32), 0, b"\0" * 64)}))
    with pytest.raises(InputError, match="w: expected"):
        GgufFile(path).read("w")
