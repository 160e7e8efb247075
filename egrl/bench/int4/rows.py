"""The measurements: a JSON file of rows, one line each, written as soon as one is measured."""

from dataclasses import dataclass
from pathlib import Path

import msgspec

from egrl.bench.folder_lock import locked
from graph_ir.errors import EgrlError, InputError
from runtime.session import ORT_ERRORS


class Row(msgspec.Struct, frozen=True, omit_defaults=True):
    """One method on one model.

    Attributes:
        part: `quality` or `speed`.
        model: name of the subject, or of the shape.
        method: name.
        metrics: by name.
        intervals: 95 %, of those that have one.
        samples: values by item, where two methods are compared by item.
        data: digest of what it was judged on.
        bits: stored for a quantized weight, all included.
        file_bytes: of the model with its weights.
        seconds: to compress it, from reading to written.
        peak_bytes: of memory meanwhile.
        cpu_seconds: of the process that compressed it, its start and imports included.
        notes: what was asked for, resolved.
        failed: why there is no measurement; empty where there is one.
        machine: that it was measured on.
    """

    part: str
    model: str
    method: str
    metrics: dict[str, float] = {}
    intervals: dict[str, tuple[float, float]] = {}
    samples: dict[str, list[float]] = {}
    data: str = ""
    bits: float = 0.0
    file_bytes: int = 0
    seconds: float = 0.0
    peak_bytes: int = 0
    cpu_seconds: float = 0.0
    notes: str = ""
    failed: str = ""
    machine: str = ""

    @property
    def key(self) -> str:
        """By which a later measurement replaces it."""
        return row_key(self.part, self.model, self.method)


def row_key(part: str, model: str, method: str) -> str:
    """Key of a row."""
    return f"{part}: {model}: {method}"


Rows = dict[str, Row]


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


# What a compression, ours or a peer's, or running what came of it may end with.
FAILURES: tuple[type[Exception], ...] = (EgrlError, *ORT_ERRORS)


@dataclass(frozen=True, slots=True)
class Book:
    """The file of rows; several runs may write it at the same time."""

    path: Path

    def rows(self) -> Rows:
        """What is in it now."""
        return read_rows(self.path)

    def add(self, rows: Rows) -> None:
        """Write rows at once; each replaces the one of its key, but a failure no measurement."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with locked(self.path.parent):
            known = self.rows()
            for key, row in rows.items():
                if row.failed and key in known and not known[key].failed:
                    continue
                known[key] = row
            beside = self.path.with_suffix(".json.new")
            beside.write_bytes(rows_text(known))
            beside.replace(self.path)
