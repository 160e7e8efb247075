"""Measurements in a JSON file: one row a line, written as soon as one is measured."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Protocol, TypeVar

import msgspec

from egrl.bench.folder_lock import locked
from graph_ir.errors import InputError


class Measured(Protocol):
    """A row."""

    @property
    def key(self) -> str:
        """By which a later measurement replaces it."""

    @property
    def failed(self) -> str:
        """Why there is no measurement; empty where there is one."""


R = TypeVar("R", bound=Measured)


def read_row_file(path: Path, kind: type[R]) -> dict[str, R]:
    """The rows of a file by their keys; none where there is no file.

    Args:
        path: of the file.
        kind: of a row, a `msgspec.Struct`.

    Raises:
        InputError: it is not such a file.
    """
    if not path.exists():
        return {}
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, kind])  # type: ignore[valid-type]
    except msgspec.DecodeError as error:
        raise InputError(f"{path}: {' '.join(str(error).split())}") from error


def rows_text(rows: Mapping[str, Measured]) -> bytes:
    """JSON with one row a line, sorted by key."""
    lines = [
        msgspec.json.encode(key) + b": " + msgspec.json.encode(rows[key]) for key in sorted(rows)
    ]
    return b"{\n" + b",\n".join(lines) + b"\n}\n"


@dataclass(frozen=True, slots=True)
class RowFile(Generic[R]):
    """A file of rows; several runs may write it at the same time.

    Attributes:
        path: of the file.
        kind: of its rows.
    """

    path: Path
    kind: type[R]

    def rows(self) -> dict[str, R]:
        """What is in it now."""
        return read_row_file(self.path, self.kind)

    def add(self, *rows: R) -> None:
        """Write rows at once; each replaces the one of its key, but a failure no measurement."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with locked(self.path.parent):
            known = self.rows()
            for row in rows:
                there = known.get(row.key)
                if not row.failed or there is None or there.failed:
                    known[row.key] = row
            beside = self.path.with_suffix(".json.new")
            beside.write_bytes(rows_text(known))
            beside.replace(self.path)
