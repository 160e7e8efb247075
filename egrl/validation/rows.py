"""Reads the CSV files of reference rows: columns by name, types checked, one line per complaint."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import TextIO

from graph_ir.errors import InputError
from graph_ir.text import quoted

MAX_FILE_BYTES = 64 << 20
"""Reference files are small; a larger one is a mistake."""

LARGEST_EXTENT = 1 << 31


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a reference file.

    Attributes:
        where: file and line, for messages.
        cells: text by column name.
    """

    where: str
    cells: Mapping[str, str]

    def text(self, column: str) -> str:
        """A cell as it stands."""
        return self.cells[column]

    def count(self, column: str) -> int:
        """A whole number of at least 1.

        Raises:
            InputError: it is none.
        """
        number = self.number(column)
        if number != int(number) or not 1 <= number <= LARGEST_EXTENT:
            raise self.wrong(column, f"a whole number from 1 to {LARGEST_EXTENT}")
        return int(number)

    def number(self, column: str) -> float:
        """A finite number.

        Raises:
            InputError: it is none.
        """
        try:
            number = float(self.cells[column])
        except ValueError:
            number = float("nan")
        if not isfinite(number):
            raise self.wrong(column, "a number")
        return number

    def positive(self, column: str) -> float:
        """A finite number above 0.

        Raises:
            InputError: it is none.
        """
        number = self.number(column)
        if number <= 0:
            raise self.wrong(column, "a number above 0")
        return number

    def choice(self, column: str, known: Sequence[str]) -> str:
        """One of some words.

        Raises:
            InputError: it is none of them.
        """
        text = self.cells[column]
        if text not in known:
            raise self.wrong(column, f"one of {', '.join(known)}")
        return text

    def wrong(self, column: str, expected: str) -> InputError:
        """The complaint about a cell."""
        return InputError(
            f"{self.where}: {column}: expected {expected}, got {quoted(self.cells[column])}"
        )


def read_rows(path: Path, columns: Sequence[str]) -> list[Row]:
    """All rows of a CSV file that has at least these columns, in any order.

    Raises:
        InputError: the file cannot be read, lacks a column or a row is cut short.
    """
    try:
        if not path.is_file() or path.stat().st_size > MAX_FILE_BYTES:
            raise InputError(f"{path}: expected a CSV file of at most {MAX_FILE_BYTES} bytes")
        with path.open(encoding="utf-8", newline="") as stream:
            return _rows(path, stream, columns)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: cannot be read as CSV: {error}") from error


def _rows(path: Path, stream: TextIO, columns: Sequence[str]) -> list[Row]:
    reader = csv.reader(stream, strict=True)
    header = next(reader, [])
    for column in columns:
        if header.count(column) != 1:
            raise InputError(
                f"{path}: expected one column {column}, got {header.count(column)} of that name"
            )
    rows = []
    for cells in reader:
        if not cells:
            continue
        where = f"{path}:{reader.line_num}"
        if len(cells) != len(header):
            raise InputError(f"{where}: expected {len(header)} cells, got {len(cells)}")
        rows.append(Row(where, dict(zip(header, cells, strict=True))))
    if not rows:
        raise InputError(f"{path}: expected rows, got none")
    return rows
