"""The measurements: a JSON file of rows, one line each, written as soon as one is measured."""

from pathlib import Path

import msgspec

from egrl.bench.row_file import RowFile, read_row_file
from graph_ir.errors import EgrlError
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
    return read_row_file(path, Row)


# What a compression, ours or a peer's, or running what came of it may end with.
FAILURES: tuple[type[Exception], ...] = (EgrlError, *ORT_ERRORS)


class Book(RowFile[Row]):
    """The file of rows."""

    def __init__(self, path: Path) -> None:
        """Args: path of the file."""
        super().__init__(path, Row)
