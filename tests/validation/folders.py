"""Folders of reference rows, and CSV files made for a test."""

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

ROWS = Path(__file__).resolve().parents[1] / "data" / "simulators"


def cells_of(name: str) -> list[dict[str, str]]:
    with (ROWS / name).open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def write(path: Path, rows: Iterable[Mapping[str, object]], columns: Sequence[str] = ()) -> Path:
    rows = list(rows)
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, columns or list(rows[0]), extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    return path
