"""Output files: checked before the work begins, written in one step when it is done."""

import os
import secrets
from pathlib import Path

from graph_ir.errors import InputError


def check_writable(path: Path | None) -> None:
    """Refuse an output that could not be written, before minutes are spent on it.

    Raises:
        InputError: it is a folder, or its folder does not exist or is read-only.
    """
    if path is None:
        return
    folder = path.absolute().parent
    if path.is_dir():
        raise InputError(f"{path}: cannot be written: it is a folder")
    if not folder.is_dir():
        raise InputError(f"{path}: cannot be written: no folder {folder}")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise InputError(f"{path}: cannot be written: no permission in {folder}")


def write_file(path: Path, data: bytes) -> None:
    """Write a file whole, or leave what was there.

    Raises:
        InputError: it cannot be written.
    """
    check_writable(path)
    path = path.absolute()
    if path.exists() and not path.is_file():
        _write_through(path, data)
        return
    temporary = path.with_name(f".{path.name}.new-{secrets.token_hex(8)}")
    try:
        try:
            temporary.write_bytes(data)
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror or error}") from error


def _write_through(path: Path, data: bytes) -> None:
    """A pipe or device cannot be replaced: `/dev/stdout`, a process substitution."""
    try:
        path.write_bytes(data)
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror or error}") from error
