"""The measurements: a JSON file of rows, one line each, written as soon as one is measured."""

from pathlib import Path

import msgspec

from egrl.bench.row_file import RowFile, read_row_file


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
    return read_row_file(path, Row)


class Book(RowFile[Row]):
    """The file of rows."""

    def __init__(self, path: Path) -> None:
        """Args: path of the file."""
        super().__init__(path, Row)
