"""The files of an artifact's folder, read without following links and with their sizes checked."""

import hashlib
import os
import stat
from collections.abc import Mapping
from io import BufferedReader
from pathlib import Path

from graph_ir.errors import InputError
from runtime.manifest import FileRecord


def list_folder(folder: Path) -> tuple[str, ...]:
    """Names in a folder, sorted.

    Raises:
        InputError: it is not a readable folder.
    """
    try:
        return tuple(sorted(os.listdir(folder)))
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(f"{folder}: expected the folder of an artifact: {reason}") from error


def open_plain(path: Path) -> BufferedReader:
    """Open a file that is neither a link nor a device.

    Raises:
        InputError: it is missing, a link, or not a plain file.
    """
    try:
        # Non-blocking, so that a named pipe cannot hold us before its kind is known.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if path.is_symlink():
            raise InputError(f"{path}: expected a plain file, got a symbolic link") from error
        raise InputError(f"{path}: cannot read it: {error.strerror or error}") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise InputError(f"{path}: expected a plain file, got something else")
    return os.fdopen(descriptor, "rb")


def read_plain(path: Path, max_bytes: int) -> bytes:
    """All bytes of a plain file.

    Raises:
        InputError: as `open_plain`, or it is larger than `max_bytes`.
    """
    with open_plain(path) as stream:
        size_bytes = os.fstat(stream.fileno()).st_size
        if size_bytes > max_bytes:
            raise InputError(f"{path}: expected at most {max_bytes} bytes, got {size_bytes}")
        return stream.read(max_bytes)


def check_listing(folder: Path, files: Mapping[str, FileRecord], own: str) -> None:
    """Compare the folder with what the manifest lists, names and sizes.

    Args:
        folder: of the artifact.
        files: that it must hold.
        own: name of the manifest itself.

    Raises:
        InputError: a file is missing, of another size, a link, or not listed.
    """
    names = list_folder(folder)
    for name in names:
        if name != own and name not in files:
            raise InputError(f"{folder}: holds {name!r}, which its manifest does not list")
    for name, record in files.items():
        with open_plain(folder / name) as stream:
            size_bytes = os.fstat(stream.fileno()).st_size
        if size_bytes != record.size_bytes:
            raise InputError(
                f"{folder / name}: expected {record.size_bytes} bytes, got {size_bytes}"
            )


def check_digest(folder: Path, name: str, record: FileRecord) -> None:
    """Compare the digest of one file with the manifest's.

    Raises:
        InputError: they differ.
    """
    with open_plain(folder / name) as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    _compare_digests(folder / name, record.sha256, digest)


def read_listed(folder: Path, name: str, record: FileRecord, max_bytes: int) -> bytes:
    """Read one file of the manifest and compare its digest.

    Raises:
        InputError: missing, too large, of another digest.
    """
    data = read_plain(folder / name, max_bytes)
    _compare_digests(folder / name, record.sha256, hashlib.sha256(data).hexdigest())
    return data


def _compare_digests(path: Path, expected: str, got: str) -> None:
    if expected != got:
        raise InputError(f"{path}: damaged or changed: expected sha256 {expected}, got {got}")
