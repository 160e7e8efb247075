"""Arrays in `.npz` files: read with every size checked before it is allocated, no pickle."""

import io
import os
import secrets
import struct
import zipfile
import zlib
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import IO

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from graph_ir.errors import InputError

MAX_INPUT_BYTES = 8 << 30
_MAX_MEMBERS = 4096
_MAX_HEADER_BYTES = 10_000
# Beginning of 1980, the earliest that the format can say: equal arrays give equal bytes.
_EPOCH = (1980, 1, 1, 0, 0, 0)

Array = NDArray[np.generic]


def read_inputs(path: Path, max_bytes: int = MAX_INPUT_BYTES) -> dict[str, Array]:
    """Read every array of an `.npz` file.

    Args:
        path: of the file.
        max_bytes: most that all arrays together may take.

    Raises:
        InputError: not an `.npz` file, a damaged one, an array of Python objects, too large.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return _read_members(archive, path, max_bytes)
    except (
        OSError,
        EOFError,
        zipfile.BadZipFile,
        zlib.error,
        ValueError,
        SyntaxError,
        KeyError,
        TypeError,
        struct.error,
        NotImplementedError,
        RecursionError,
        MemoryError,
        RuntimeError,
        OverflowError,
    ) as error:
        # zipfile and numpy answer damaged bytes with any of these.
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise InputError(f"{path}: cannot read it as an .npz file: {reason}") from error


def write_outputs(path: Path, arrays: Mapping[str, Array]) -> None:
    """Write arrays to an `.npz` file in one step; equal arrays give equal bytes.

    Raises:
        InputError: the file cannot be written; what was there is left as it was.
    """
    path = Path(os.path.abspath(path))
    temporary = path.with_name(f".{path.name}.new-{secrets.token_hex(8)}")
    try:
        if path.is_dir():
            raise InputError(f"{path}: cannot write the outputs: it is a folder")
        try:
            with temporary.open("xb") as stream:
                _write_members(stream, arrays)
                stream.flush()
                os.fsync(stream.fileno())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    except (OSError, ValueError) as error:
        # numpy says ValueError where only a pickle could hold the array.
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"{path}: cannot write the outputs: {reason}") from error


def _read_members(archive: zipfile.ZipFile, path: Path, max_bytes: int) -> dict[str, Array]:
    members = archive.infolist()
    if len(members) > _MAX_MEMBERS:
        raise InputError(f"{path}: expected at most {_MAX_MEMBERS} arrays, got {len(members)}")
    total = sum(member.file_size for member in members)
    if total > max_bytes:
        raise InputError(f"{path}: expected at most {max_bytes} bytes of arrays, got {total}")
    arrays: dict[str, Array] = {}
    for member in members:
        name = member.filename.removesuffix(".npy")
        if name == member.filename or name in arrays:
            raise InputError(f"{path}: expected one .npy member per array, got {member.filename!r}")
        with archive.open(member) as stream:
            arrays[name] = _read_array(stream, member.file_size, f"{path}: {name}")
    return arrays


def _read_array(stream: IO[bytes], size_bytes: int, where: str) -> Array:
    version = npy.read_magic(stream)
    if version == (1, 0):
        header = npy.read_array_header_1_0(stream, max_header_size=_MAX_HEADER_BYTES)
    elif version == (2, 0):
        header = npy.read_array_header_2_0(stream, max_header_size=_MAX_HEADER_BYTES)
    else:
        raise InputError(f"{where}: expected .npy version 1.0 or 2.0, got {version}")
    shape, fortran_order, dtype = header
    if dtype.hasobject:
        raise InputError(f"{where}: an array of Python objects is not accepted")
    if dtype.kind not in "biufc":
        raise InputError(f"{where}: expected numbers or booleans, got {dtype}")
    expected = prod(shape) * dtype.itemsize
    # Compare with the size that the archive states before believing the header.
    if any(extent < 0 for extent in shape) or not 0 <= expected <= size_bytes:
        raise InputError(f"{where}: shape {list(shape)} of {dtype} does not fit the file")
    data = stream.read(expected)
    if len(data) != expected or stream.read(1):
        raise InputError(f"{where}: expected {expected} bytes of array, got another number")
    flat = np.frombuffer(bytearray(data), dtype=dtype)
    array = flat.reshape(shape, order="F" if fortran_order else "C")
    return np.require(array, dtype.newbyteorder("="), "C").reshape(shape)


def _write_members(stream: IO[bytes], arrays: Mapping[str, Array]) -> None:
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            buffer = io.BytesIO()
            npy.write_array(buffer, np.asanyarray(array), version=(1, 0), allow_pickle=False)
            member = zipfile.ZipInfo(f"{name}.npy", date_time=_EPOCH)
            member.external_attr = 0o644 << 16
            archive.writestr(member, buffer.getbuffer())
