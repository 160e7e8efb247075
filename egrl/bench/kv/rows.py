"""The measurements: a JSON file of rows, one line each, written as soon as one is measured."""

from dataclasses import dataclass
from pathlib import Path

import msgspec

from egrl.bench.folder_lock import locked
from graph_ir.errors import InputError


class Row(msgspec.Struct, frozen=True, omit_defaults=True):
    """One measurement.

    Attributes:
        part: of the benchmark: `exactness`, `speed`, `quality`, `simulated`.
        case: what it was measured on: a model, a shape, a context.
        method: what was measured.
        metrics: by name.
        samples: values by item.
        notes: what was asked for, resolved.
        data: digest of what it was judged on.
        seconds: of the processor, for this row.
        failed: why there is no measurement; empty where there is one.
        machine: that it was measured on.
    """

    part: str
    case: str
    method: str
    metrics: dict[str, float] = {}
    samples: dict[str, list[float]] = {}
    notes: str = ""
    data: str = ""
    seconds: float = 0.0
    failed: str = ""
    machine: str = ""

    @property
    def key(self) -> str:
        """By which a later measurement replaces it."""
        return row_key(self.part, self.case, self.method)


def row_key(part: str, case: str, method: str) -> str:
    """Key of a row."""
    return f"{part}: {case}: {method}"


Rows = dict[str, Row]


def measured(rows: Rows, part: str, case: str, method: str) -> Row | None:
    """A row that has a measurement."""
    row = rows.get(row_key(part, case, method))
    return row if row is not None and not row.failed else None


def read_rows(path: Path) -> Rows:
    """The rows of a file; none where there is no file.

    Raises:
        InputError: it is not such a file.
    """
    if not path.exists():
        return {}
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, Row])
    except msgspec.DecodeError as error:
        raise InputError(f"{path}: {' '.join(str(error).split())}") from error


def rows_text(rows: Rows) -> bytes:
    """JSON with one row a line, sorted by key."""
    lines = [
        msgspec.json.encode(key) + b": " + msgspec.json.encode(rows[key]) for key in sorted(rows)
    ]
    return b"{\n" + b",\n".join(lines) + b"\n}\n"


@dataclass(frozen=True, slots=True)
class Book:
    """The file of rows; several runs may write it at the same time."""

    path: Path

    def rows(self) -> Rows:
        """What is in it now."""
        return read_rows(self.path)

    def add(self, row: Row) -> None:
        """Write a row at once; it replaces the one of its key, but a failure no measurement."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with locked(self.path.parent):
            known = self.rows()
            there = known.get(row.key)
            if row.failed and there is not None and not there.failed:
                return
            known[row.key] = row
            beside = self.path.with_suffix(".json.new")
            beside.write_bytes(rows_text(known))
            beside.replace(self.path)
