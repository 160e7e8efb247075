"""Photographs as arrays: a reader of plain PNG files, resizing and cropping."""

import functools
import struct
import zlib
from pathlib import Path

import numpy as np

from graph_ir.errors import InputError

_CHANNELS = {0: 1, 2: 3}  # colour type of the PNG -> bytes of a pixel
_LARGEST_PIXELS = 1 << 24


@functools.lru_cache(maxsize=32)
def read_png(path: Path) -> np.ndarray:
    """Reads an 8-bit grey or RGB picture without interlacing as uint8 [height, width, 3].

    Raises:
        InputError: it is missing, damaged or of another kind.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        reason = f"{error.strerror}; `scripts/models photos` makes it"
        raise InputError(f"{path}: cannot read the photograph: {reason}") from error
    if data[:8] != b"\x89PNG\r\n\x1a\n" or len(data) < 33:
        raise InputError(f"{path}: expected a PNG file, got something else")
    width, height, depth, kind, _, _, interlaced = struct.unpack(">IIBBBBB", data[16:29])
    if depth != 8 or kind not in _CHANNELS or interlaced or width * height > _LARGEST_PIXELS:
        form = f"depth {depth}, colour type {kind}, interlacing {interlaced}, {width}x{height}"
        raise InputError(f"{path}: expected 8-bit grey or RGB without interlacing, got {form}")
    packed = b"".join(_image_chunks(data))
    step = _CHANNELS[kind]
    stride = width * step
    size = height * (stride + 1)
    try:
        rows = zlib.decompressobj().decompress(packed, size)
    except zlib.error as error:
        raise InputError(f"{path}: damaged picture data: {error}") from error
    if len(rows) != size:
        raise InputError(f"{path}: expected {size} bytes of picture, got {len(rows)}")
    picture = np.empty((height, stride), np.uint8)
    above = bytearray(stride)
    for index in range(height):
        start = index * (stride + 1)
        row = bytearray(rows[start + 1 : start + 1 + stride])
        _unfilter(rows[start], row, above, step)
        picture[index] = np.frombuffer(row, np.uint8)
        above = row
    return np.broadcast_to(picture.reshape(height, width, step), (height, width, 3))


def _image_chunks(data: bytes) -> list[bytes]:
    chunks = []
    position = 8
    while position + 8 <= len(data):
        (length,) = struct.unpack(">I", data[position : position + 4])
        if data[position + 4 : position + 8] == b"IDAT":
            chunks.append(data[position + 8 : position + 8 + length])
        position += length + 12
    return chunks


def _unfilter(kind: int, row: bytearray, above: bytearray, step: int) -> None:
    """Undoes the filter of one row in place (PNG specification, section 9)."""
    for at in range(len(row)):
        left = row[at - step] if at >= step else 0
        if kind == 0:
            return
        if kind == 1:
            guess = left
        elif kind == 2:
            guess = above[at]
        elif kind == 3:
            guess = (left + above[at]) >> 1
        else:
            guess = _paeth(left, above[at], above[at - step] if at >= step else 0)
        row[at] = (row[at] + guess) & 255


def _paeth(left: int, up: int, corner: int) -> int:
    to_left, to_up, to_corner = abs(up - corner), abs(left - corner), abs(left + up - 2 * corner)
    if to_left <= to_up and to_left <= to_corner:
        return left
    return up if to_up <= to_corner else corner


def _triangle_weights(old: int, new: int) -> np.ndarray:
    """Matrix [new, old] of bilinear interpolation, widened where the picture shrinks."""
    scale = old / new
    reach = max(scale, 1.0)
    centres = (np.arange(new) + 0.5) * scale - 0.5
    weights = np.maximum(0.0, 1.0 - np.abs(centres[:, None] - np.arange(old)[None, :]) / reach)
    result: np.ndarray = weights / weights.sum(axis=1, keepdims=True)
    return result


def resize(picture: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resizes [H, W, C] to [height, width, C] without aliasing; float64, same range."""
    rows = _triangle_weights(picture.shape[0], height)
    columns = _triangle_weights(picture.shape[1], width)
    narrow = np.einsum("wx,hxc->hwc", columns, picture.astype(np.float64), optimize=True)
    result: np.ndarray = np.einsum("hy,ywc->hwc", rows, narrow, optimize=True)
    return result


def centre_crop(picture: np.ndarray, short_side: int, crop: int) -> np.ndarray:
    """Scales the short side, then cuts a square out of the middle."""
    height, width = picture.shape[:2]
    scale = short_side / min(height, width)
    scaled = resize(picture, round(height * scale), round(width * scale))
    top, left = (scaled.shape[0] - crop) // 2, (scaled.shape[1] - crop) // 2
    return scaled[top : top + crop, left : left + crop]


def random_crop(picture: np.ndarray, crop: int, random: np.random.Generator) -> np.ndarray:
    """Cuts a random square of at least half the short side, perhaps mirrored, and scales it."""
    height, width = picture.shape[:2]
    side = int(random.integers(min(height, width) // 2, min(height, width) + 1))
    top = int(random.integers(0, height - side + 1))
    left = int(random.integers(0, width - side + 1))
    square = picture[top : top + side, left : left + side]
    if random.integers(2):
        square = square[:, ::-1]
    return resize(square, crop, crop)
