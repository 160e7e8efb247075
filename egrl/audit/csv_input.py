"""Reading CSV from strangers: rows with their line numbers, one error line."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from egrl.audit.json_input import read_text
from graph_ir.errors import InputError

MAX_DIGITS = 18


@dataclass(frozen=True, slots=True)
class CsvRow:
    """A row.

    Attributes:
        at: file and line, for error messages.
        fields: text by column.
    """

    at: str
    fields: dict[str, str]

    def integer(self, column: str) -> int:
        """A whole number of at least 0.

        Raises:
            InputError: it is something else.
        """
        text = self.fields[column].strip()
        if not (text.isascii() and text.isdecimal() and len(text) <= MAX_DIGITS):
            raise InputError(
                f"{self.at}: expected a whole number of at least 0 as {column}, got {text[:40]!r}"
            )
        return int(text)


def read_rows(
    path: Path, required: Sequence[str], spellings: dict[str, str] | None = None
) -> list[CsvRow]:
    """All rows of a CSV file with a header.

    Args:
        path: of the file.
        required: columns that must be there; others come along.
        spellings: other names of columns, and the name to know them by.

    Raises:
        InputError: unreadable, no rows, a missing column, a row of another length.
    """
    rows: list[CsvRow] = []
    reader = csv.reader(io.StringIO(read_text(path)))
    try:
        header = [name.strip() for name in next(reader, [])]
        header = [(spellings or {}).get(name, name) for name in header]
        missing = [name for name in required if name not in header]
        if missing:
            raise InputError(f"{path}: line 1: expected a column {missing[0]!r}, got {header}")
        for values in reader:
            if not values:
                continue
            at = f"{path}: line {reader.line_num}"
            if len(values) != len(header):
                raise InputError(f"{at}: expected {len(header)} fields, got {len(values)}")
            rows.append(CsvRow(at, dict(zip(header, values, strict=True))))
    except csv.Error as error:
        raise InputError(f"{path}: line {reader.line_num}: {error}") from error
    if not rows:
        raise InputError(f"{path}: expected at least one row below the header, got none")
    return rows
