"""The measurements: a JSON file of rows, one line each, written as soon as one is measured.

Several runs may write the same file at the same time: each row is merged into what is there, under
a lock of the folder, and the file is replaced in one step.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from egrl.bench.folder_lock import locked
from graph_ir.errors import InputError

KEPT_IMPROVEMENT = 2e-4
"""Steps of a curve that improve by a smaller share of the last kept one are left out."""


class Reference(msgspec.Struct, frozen=True):
    """What does not depend on a method: one row per problem.

    Attributes:
        case: its name.
        ops: placement ops.
        tensors: that have a choice.
        tiers: names, outermost first.
        native_s: latency of `native`.
        bound_s: proven by `auto` or `exact`.
        best_s: of the same run.
        exact_s: latency of `exact`, 0 where it was not asked.
        seconds: that the run was given.
        exact_bound_s: its own bound, likewise.
        plan: homes of `exact`'s placement, a digit per tensor; empty where it was not asked.
        auto_plan: homes of `auto`'s.
    """

    case: str
    ops: int
    tensors: int
    tiers: list[str]
    native_s: float
    bound_s: float
    best_s: float
    seconds: float
    exact_s: float = 0.0
    exact_bound_s: float = 0.0
    auto_plan: str = ""
    plan: str = ""

    @property
    def exact_gap(self) -> float:
        """What `exact` left between its placement and its bound; infinite without a bound."""
        return self.exact_s / self.exact_bound_s - 1.0 if self.exact_bound_s > 0 else math.inf


class Run(msgspec.Struct, frozen=True, omit_defaults=True):
    """One run of one method.

    Attributes:
        part: experiment.
        case: name of the problem, with the machine that answers where it is not the engine.
        method: name.
        seed: of the run.
        native_s: latency of `native`: rows under another cost model are measured anew.
        budget: evaluations or seconds that it was given.
        latency_s: of what it found, None where it found nothing.
        evaluations: that it used.
        seconds: that it used.
        curve: (evaluations or seconds, latency in seconds) of its incumbents.
        moved_bytes: bytes of tensors by tier of `native` (rows) and of this placement (columns).
        moved_tensors: their number.
        jobs: runs at the same time, where time counts.
        machine: on which it ran.
    """

    part: str
    case: str
    method: str
    seed: int
    native_s: float
    budget: float
    latency_s: float | None
    evaluations: int
    seconds: float
    curve: list[tuple[float, float]]
    moved_bytes: list[list[int]] = []
    moved_tensors: list[list[int]] = []
    jobs: int = 1
    machine: str = ""

    @property
    def key(self) -> str:
        """By which a later measurement replaces it."""
        return run_key(self.part, self.case, self.method, self.seed)


def run_key(part: str, case: str, method: str, seed: int) -> str:
    """Key of a run."""
    return f"{part}: {case}: {method}: {seed}"


class Session(msgspec.Struct, frozen=True):
    """One model on the real tiered machine, searched and judged in one go (`real_machine.py`).

    Attributes:
        model: name.
        measurements: that each search was given.
        ops: of the placement problem.
        modelled_s: by the engine, of what each method ended with, by method and seed.
        seconds: of the same in rounds that all share, by method, seed and round.
        minutes: that it all took.
        machine: on which it ran.
    """

    model: str
    measurements: int
    ops: int
    modelled_s: dict[str, list[float]]
    seconds: dict[str, list[list[float]]]
    minutes: float
    machine: str

    @property
    def seeds(self) -> int:
        """Of the methods that have seeds."""
        return max(len(found) for found in self.seconds.values())


class Rows(msgspec.Struct, frozen=True):
    """All measurements, by key; sessions by model."""

    references: dict[str, Reference] = {}
    runs: dict[str, Run] = {}
    sessions: dict[str, Session] = {}

    def of(self, part: str, case: str, method: str) -> list[Run]:
        """Runs of a method by seed, those under another cost model left out."""
        return self.grouped(part).get((case, method), [])

    def grouped(self, part: str) -> dict[tuple[str, str], list[Run]]:
        """Runs of an experiment by problem and method; see `of`."""
        found: dict[tuple[str, str], list[Run]] = {}
        for run in sorted(self.runs.values(), key=lambda run: run.seed):
            reference = self.references.get(reference_name(run.case))
            current = reference is None or run.native_s == reference.native_s
            if run.part == part and current:
                found.setdefault((run.case, run.method), []).append(run)
        return found

    def merged(self, other: "Rows") -> "Rows":
        """These and others; others replace runs of the same key, references are joined."""
        references = dict(self.references)
        for case, reference in other.references.items():
            known = references.get(case)
            references[case] = reference if known is None else joined(known, reference)
        return Rows(references, {**self.runs, **other.runs}, {**self.sessions, **other.sessions})


def joined(old: Reference, new: Reference) -> Reference:
    """The later reference, with what an earlier one under the same cost model knew better."""
    if old.native_s != new.native_s:
        return new
    planned = new if new.auto_plan else old
    return msgspec.structs.replace(
        planned,
        bound_s=max(old.bound_s, new.bound_s),
        best_s=min(old.best_s, new.best_s),
        seconds=max(old.seconds, new.seconds),
    )


def reference_name(case: str) -> str:
    """Name of the problem in the name of a problem with another machine."""
    return case.partition(" by ")[0]


def thinned(curve: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """A curve without steps too small to see; the first and the last stay."""
    kept: list[tuple[float, float]] = []
    for step, (point, value) in enumerate(curve):
        small = bool(kept) and value > kept[-1][1] * (1.0 - KEPT_IMPROVEMENT)
        if not small or step == len(curve) - 1:
            kept.append((round(float(point), 4), float(value)))
    return kept


def read_rows(path: Path) -> Rows:
    """The rows of a file; none where there is no file.

    Raises:
        InputError: it is not such a file.
    """
    if not path.exists():
        return Rows({}, {})
    try:
        return msgspec.json.decode(path.read_bytes(), type=Rows)
    except msgspec.DecodeError as error:
        raise InputError(f"{path}: {' '.join(str(error).split())}") from error


@dataclass(frozen=True, slots=True)
class Book:
    """The file of rows."""

    path: Path

    def rows(self) -> Rows:
        """What is in it now."""
        return read_rows(self.path)

    def add(self, row: Reference | Run | Session) -> None:
        """Write a row at once."""
        if isinstance(row, Reference):
            self.merge(Rows({row.case: row}, {}))
        elif isinstance(row, Session):
            self.merge(Rows(sessions={row.model: row}))
        else:
            self.merge(Rows({}, {row.key: row}))

    def merge(self, rows: Rows) -> None:
        """Write rows at once."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with locked(self.path.parent):
            text = rows_text(self.rows().merged(rows))
            beside = self.path.with_suffix(".json.new")
            beside.write_bytes(text)
            beside.replace(self.path)


def rows_text(rows: Rows) -> bytes:
    """JSON with one row a line, sorted by key."""
    sections = []
    tables: dict[str, dict[str, Any]] = {
        "references": rows.references,
        "runs": rows.runs,
        "sessions": rows.sessions,
    }
    for name, table in tables.items():
        lines = [
            msgspec.json.encode(key) + b": " + msgspec.json.encode(table[key])
            for key in sorted(table)
        ]
        sections.append(b'"' + name.encode() + b'": {\n' + b",\n".join(lines) + b"\n}")
    return b"{\n" + b",\n".join(sections) + b"\n}\n"
