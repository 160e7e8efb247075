"""MiniMalloc's CSV: `id,lower,upper,size` and optionally `alignment`; a solution adds `offset`.

A buffer is live on the half-open `[lower, upper)`. `hint`, and an `offset` in a problem, are read
over. See `tests/data/minimalloc` for where the format comes from.
"""

import csv
import io
import os
from collections.abc import Sequence
from pathlib import Path

from accelerator_sim.allocate.buffers import Allocation, Buffer
from accelerator_sim.allocate.lowest import lowest_found
from accelerator_sim.allocate.problem import LIMIT_BYTES
from accelerator_sim.allocate.solve import allocate
from accelerator_sim.infeasible import explain
from accelerator_sim.plan_io import read_limited
from graph_ir.errors import InputError, UnmetRequirementError
from graph_ir.text import quoted, reason_of

COLUMNS = ("id", "lower", "upper", "size")
OPTIONAL_COLUMNS = ("alignment", "hint", "offset")
CSV_NODE_BUDGET = 5_000_000
_MAX_FILE_BYTES = 1 << 26
_MAX_BUFFERS = 200_000
_MAX_NUMBER = 1 << 59
_MAX_ALIGNMENT = 1 << 30


def read_problem(path: Path) -> list[Buffer]:
    """Read a problem.

    Raises:
        InputError: with file and line: a wrong header or field, a duplicate id, an empty
            lifetime, a number out of range.
    """
    try:
        text = read_limited(path, _MAX_FILE_BYTES).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: expected UTF-8 text: {reason_of(error)}") from error
    reader = csv.reader(io.StringIO(text), strict=True)
    buffers: list[Buffer] = []
    seen: dict[str, int] = {}
    header: list[str] | None = None
    try:
        for row in reader:
            at = f"{path}:{reader.line_num}"
            if header is None:
                header = _header(row, at)
                continue
            if not row:
                continue
            if len(row) != len(header):
                raise InputError(f"{at}: expected {len(header)} fields, got {len(row)}")
            buffer = _buffer(dict(zip(header, row, strict=True)), at)
            if buffer.name in seen:
                first = seen[buffer.name]
                raise InputError(f"{at}: id {quoted(buffer.name)} is already on line {first}")
            seen[buffer.name] = reader.line_num
            if len(buffers) == _MAX_BUFFERS:
                raise InputError(f"{at}: expected at most {_MAX_BUFFERS} buffers")
            buffers.append(buffer)
    except csv.Error as error:
        raise InputError(f"{path}:{reader.line_num}: {reason_of(error)}") from error
    total = sum(buffer.size_bytes + buffer.alignment_bytes for buffer in buffers)
    if total >= LIMIT_BYTES:
        raise InputError(f"{path}: expected less than {LIMIT_BYTES} bytes in all, got {total}")
    if header is None:
        raise InputError(f"{path}:1: expected the header {','.join(COLUMNS)}, got an empty file")
    return buffers


def _header(row: Sequence[str], at: str) -> list[str]:
    names = [name.strip() for name in row]
    for name in names:
        if name not in (*COLUMNS, *OPTIONAL_COLUMNS):
            raise InputError(f"{at}: expected {','.join(COLUMNS)}, got column {quoted(name)}")
    for name in COLUMNS:
        if name not in names:
            raise InputError(f"{at}: expected {','.join(COLUMNS)}, got no column {name}")
    if len(dict.fromkeys(names)) != len(names):
        raise InputError(f"{at}: expected every column once")
    return names


def _buffer(fields: dict[str, str], at: str) -> Buffer:
    lower = _integer(fields, "lower", -_MAX_NUMBER, _MAX_NUMBER, at)
    upper = _integer(fields, "upper", -_MAX_NUMBER, _MAX_NUMBER, at)
    if lower >= upper:
        raise InputError(f"{at}: expected lower < upper, got {lower} and {upper}")
    alignment = 1
    if "alignment" in fields:
        alignment = _integer(fields, "alignment", 1, _MAX_ALIGNMENT, at)
    name = fields["id"].strip()
    if not name:
        raise InputError(f"{at}: expected an id, got none")
    return Buffer(name, lower, upper, _integer(fields, "size", 0, _MAX_NUMBER, at), alignment)


def _integer(fields: dict[str, str], name: str, least: int, most: int, at: str) -> int:
    text = fields[name].strip()
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 20):
        raise InputError(f"{at}: {name}: expected an integer, got {quoted(text)}")
    value = int(text)
    if not least <= value <= most:
        raise InputError(f"{at}: {name}: expected {least} to {most}, got {value}")
    return value


def solution_text(buffers: Sequence[Buffer], offsets: Sequence[int]) -> str:
    """The problem with offsets, in the order of the problem."""
    aligned = any(buffer.alignment_bytes != 1 for buffer in buffers)
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([*COLUMNS, *(["alignment"] if aligned else []), "offset"])
    for buffer, offset in zip(buffers, offsets, strict=True):
        alignment = [buffer.alignment_bytes] if aligned else []
        writer.writerow(
            [buffer.name, buffer.lower, buffer.upper, buffer.size_bytes, *alignment, offset]
        )
    return out.getvalue()


def allocate_csv(
    problem: Path, capacity_bytes: int, solution: Path, node_budget: int = CSV_NODE_BUDGET
) -> Allocation:
    """Solve a problem file and write the solution file, whole or not at all.

    Raises:
        InputError: a file that is wrong or cannot be written.
        UnmetRequirementError: the buffers do not fit, or no way was found to make them fit.
    """
    if capacity_bytes < 0:
        raise InputError(f"capacity: expected 0 or more bytes, got {capacity_bytes}")
    buffers = read_problem(problem)
    allocation = allocate(buffers, capacity_bytes, node_budget)
    if not allocation.feasible:
        raise _unmet(problem, buffers, capacity_bytes, allocation, node_budget)
    _write_atomically(solution, solution_text(buffers, allocation.offsets))
    return allocation


def _unmet(
    problem: Path,
    buffers: Sequence[Buffer],
    capacity_bytes: int,
    allocation: Allocation,
    node_budget: int,
) -> UnmetRequirementError:
    reason = explain(str(problem), buffers, capacity_bytes)
    if reason is not None:
        return reason.to_error()
    best = lowest_found(buffers, allocation, capacity_bytes, node_budget)
    enough = f"{best.height_bytes} bytes are enough"
    if allocation.exhausted:
        return UnmetRequirementError(
            f"{problem}: no allocation within {capacity_bytes} bytes was found in "
            f"{allocation.nodes} search nodes; {enough}",
            (
                f"At least {allocation.lower_bound_bytes} bytes are needed; it is not proven that "
                f"{capacity_bytes} are too few.",
                f"What would help: a capacity of {best.height_bytes} bytes",
            ),
        )
    return UnmetRequirementError(
        f"{problem}: proven: no allocation within {capacity_bytes} bytes exists, though no more "
        f"is live at once; {enough}",
        (
            f"All arrangements were refuted in {allocation.nodes} search nodes.",
            f"What would help: a capacity of {best.height_bytes} bytes",
        ),
    )


def _write_atomically(path: Path, text: str) -> None:
    """Write beside the target and rename, so that a reader sees the old file or the new one."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        try:
            with temporary.open("x", encoding="utf-8", newline="") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot write it: {reason_of(error)}") from error
