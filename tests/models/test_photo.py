"""The PNG reader against an encoder written here, and the resampling."""

import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from model_set.photo import centre_crop, random_crop, read_png, resize

from graph_ir.errors import InputError


def predict(kind, left, up, corner):
    if kind == 4:
        target = left + up - corner
        return min((left, up, corner), key=lambda value: abs(target - value))
    return (0, left, up, (left + up) // 2)[kind]


def encode(picture, kinds, depth=8):
    """PNG bytes of [H, W, C]; row i is filtered by kinds[i]."""
    height, width, step = picture.shape
    flat = picture.reshape(height, width * step).astype(int)
    raw = bytearray()
    for y, kind in enumerate(kinds):
        raw.append(kind)
        for x in range(width * step):
            left = flat[y, x - step] if x >= step else 0
            up = flat[y - 1, x] if y else 0
            corner = flat[y - 1, x - step] if y and x >= step else 0
            raw.append((flat[y, x] - predict(kind, left, up, corner)) % 256)
    header = struct.pack(">IIBBBBB", width, height, depth, 2 if step == 3 else 0, 0, 0, 0)
    packed = zlib.compress(bytes(raw))
    chunks = [(b"IHDR", header), (b"IDAT", packed[:5]), (b"IDAT", packed[5:]), (b"IEND", b"")]
    body = b"".join(struct.pack(">I", len(d)) + n + d + b"\0\0\0\0" for n, d in chunks)
    return b"\x89PNG\r\n\x1a\n" + body


@given(seed=st.integers(0, 999), step=st.sampled_from([1, 3]), data=st.data())
def test_every_filter_is_undone(tmp_path_factory, seed, step, data):
    kinds = data.draw(st.lists(st.integers(0, 4), min_size=1, max_size=6))
    picture = np.random.default_rng(seed).integers(0, 256, (len(kinds), 5, step))
    path = tmp_path_factory.mktemp("png") / "a.png"
    path.write_bytes(encode(picture, kinds))
    np.testing.assert_array_equal(read_png(path), np.broadcast_to(picture, (len(kinds), 5, 3)))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda png: b"GIF89a" + png[6:], "expected a PNG file"),
        (lambda png: png[:24] + b"\x10" + png[25:], "8-bit"),
        (lambda png: png[:28] + b"\x01" + png[29:], "interlacing 1"),
        (lambda png: png[:16] + b"\0\xff\xff\xff" + png[20:], "16777215"),
        (lambda png: png[:20] + b"\0\0\0\x09" + png[24:], "bytes of picture"),
        (lambda png: png[:41] + b"\xff" + png[42:], "damaged"),
    ],
)
def test_other_files_are_input_errors(tmp_path, spoil, message):
    path = tmp_path / "bad.png"
    path.write_bytes(spoil(encode(np.zeros((2, 2, 3), int), [0, 0])))
    with pytest.raises(InputError, match=message):
        read_png(path)


def test_missing_photograph_says_how_to_get_it(tmp_path):
    with pytest.raises(InputError, match="scripts/models photos"):
        read_png(tmp_path / "none.png")


def test_resize_keeps_constants_and_the_same_size():
    picture = np.random.default_rng(0).uniform(0, 255, (7, 9, 3))
    np.testing.assert_allclose(resize(picture, 7, 9), picture)
    np.testing.assert_allclose(resize(np.full((7, 9, 3), 3.5), 20, 4), 3.5)


def test_shrinking_averages_instead_of_skipping():
    stripes = np.zeros((16, 16, 1))
    stripes[:, ::2] = 100.0
    assert np.abs(resize(stripes, 4, 4)[:, 1:3] - 50.0).max() < 1.0


def test_crops_are_square_and_from_inside():
    picture = np.random.default_rng(0).uniform(10, 20, (30, 50, 3))
    middle = centre_crop(picture, 16, 14)
    assert middle.shape == (14, 14, 3)
    crops = [random_crop(picture, 8, np.random.default_rng(seed)) for seed in (1, 1, 2)]
    assert all(crop.shape == (8, 8, 3) and crop.min() >= 10 for crop in crops)
    np.testing.assert_array_equal(crops[0], crops[1])
    assert np.abs(crops[0] - crops[2]).max() > 0
