"""Write an artifact: build it beside its destination, then exchange old and new in one step."""

import fcntl
import hashlib
import os
import re
import secrets
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from graph_ir.errors import InputError
from runtime.exchange import replace_folder, restore_interrupted
from runtime.manifest import (
    MANIFEST_FILE,
    MAX_MANIFEST_BYTES,
    FileRecord,
    Manifest,
    check_manifest,
    is_file_name,
    manifest_bytes,
    parse_manifest,
)


def write_artifact(
    out: Path,
    manifest: Manifest,
    files: Mapping[str, bytes],
    save_graphs: Callable[[Path], object],
) -> Manifest:
    """Write the folder `out`, or leave everything as it was.

    A reader or a crash sees the old artifact or the new one, whole. Equal arguments give equal
    bytes.

    Args:
        out: destination; absent, or an artifact, which is replaced.
        manifest: its `files` are filled in here.
        files: small files by name (plans, reports, `accelerator.toml`).
        save_graphs: writes `NAME.onnx` of every graph and `weights.data` into the folder that
            it is given.

    Returns:
        The manifest as written.

    Raises:
        InputError: the destination is something else than an artifact, or cannot be written.
    """
    out = Path(os.path.abspath(out))
    try:
        _recover(out)
        check_replaceable(out)
        return _write(out, manifest, files, save_graphs)
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(f"{out}: cannot write the artifact: {reason}") from error


def check_replaceable(out: Path) -> None:
    """Refuse to write over anything but a whole artifact or nothing.

    Raises:
        InputError: `out` is a file, a link, a folder that is not an artifact, or an artifact with
            files that do not belong to it.
    """
    if not out.parent.is_dir():
        raise InputError(f"{out}: cannot write the artifact: no folder {out.parent}")
    if not os.path.lexists(out):
        return
    if out.is_symlink() or not out.is_dir():
        kind = "symbolic link" if out.is_symlink() else "file"
        raise InputError(f"{out}: exists and is not an artifact: expected a folder, got a {kind}")
    path = out / MANIFEST_FILE
    if path.is_symlink() or not path.is_file() or path.stat().st_size > MAX_MANIFEST_BYTES:
        raise InputError(f"{out}: exists and is not an artifact: it has no {MANIFEST_FILE}")
    known = {MANIFEST_FILE, *parse_manifest(path.read_bytes(), str(path)).files}
    foreign = sorted(name for name in os.listdir(out) if name not in known)
    if foreign:
        raise InputError(
            f"{out}: holds {foreign[0]!r}, which is not part of the artifact and would be lost"
        )


def _write(
    out: Path,
    manifest: Manifest,
    files: Mapping[str, bytes],
    save_graphs: Callable[[Path], object],
) -> Manifest:
    folder, lock = _make_locked_folder(out)
    try:
        save_graphs(folder)
        for name in sorted(files):
            if not is_file_name(name) or name == MANIFEST_FILE or (folder / name).exists():
                raise InputError(f"{out}: {name!r} cannot be the name of a file in an artifact")
            (folder / name).write_bytes(files[name])
        written = msgspec.structs.replace(manifest, files=_records(folder))
        check_manifest(written, str(out))
        (folder / MANIFEST_FILE).write_bytes(manifest_bytes(written))
        for name in sorted(os.listdir(folder)):
            _sync(folder / name)
        _sync(folder)
        # Again, since building took time: nothing that appeared meanwhile is to be lost.
        check_replaceable(out)
        old = replace_folder(folder, out, _sibling(out, "old"))
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    finally:
        os.close(lock)
    _sync(out.parent)
    if old is not None:
        # The new artifact is in place; what cannot be removed now, the next write removes.
        shutil.rmtree(old, ignore_errors=True)
    return written


def _records(folder: Path) -> dict[str, FileRecord]:
    records: dict[str, FileRecord] = {}
    for name in sorted(os.listdir(folder)):
        path = folder / name
        if path.is_symlink() or not path.is_file():
            raise InputError(f"{name!r} in an artifact must be a plain file")
        with path.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        records[name] = FileRecord(sha256=digest, size_bytes=path.stat().st_size)
    return records


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sibling(out: Path, role: str) -> Path:
    return out.with_name(f".{out.name}.{role}-{secrets.token_hex(8)}")


def _make_locked_folder(out: Path) -> tuple[Path, int]:
    """A new folder beside `out` and a lock on it, which tells others that its writer lives."""
    while True:
        folder = _sibling(out, "new")
        folder.mkdir()
        try:
            lock = _try_lock(folder)
        except OSError:
            folder.rmdir()
            raise
        # Between `mkdir` and the lock another writer may have taken the folder for a stale one.
        if lock is not None and folder.is_dir():
            return folder, lock
        if lock is not None:
            os.close(lock)


def _try_lock(folder: Path) -> int | None:
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        # Gone, or not a folder: nothing that a writer of ours could hold.
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        if isinstance(error, BlockingIOError):
            return None
        raise
    return descriptor


def _recover(out: Path) -> None:
    """Put back an old artifact that a crash left aside, and remove what dead writers left."""
    if not out.parent.is_dir():
        return
    ours = re.compile(re.escape(f".{out.name}.") + "(old|new)-[0-9a-f]{16}")
    names = [name for name in sorted(os.listdir(out.parent)) if ours.fullmatch(name)]
    asides = [out.parent / name for name in names if name.startswith(f".{out.name}.old-")]
    for aside in asides:
        restore_interrupted(out, aside)
    leftovers = [out.parent / name for name in names if name.startswith(f".{out.name}.new-")]
    for folder in (*asides, *leftovers):
        lock = _try_lock(folder)
        if lock is not None:
            shutil.rmtree(folder, ignore_errors=True)
            os.close(lock)
