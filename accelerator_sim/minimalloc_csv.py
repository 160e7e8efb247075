"""MiniMalloc's CSV of buffers: `id,lower,upper,size` in, the same rows with `offset` out.

Times are half-open intervals `[lower, upper)`, sizes and offsets bytes. A column `alignment` is
honoured, an old `offset` replaced; other columns say things that this allocator does not know
(gaps, hints), so they are refused rather than ignored.
"""

import csv
import io
import re
from collections.abc import Sequence
from pathlib import Path

from accelerator_sim.allocate import Allocation, Buffer
from graph_ir.errors import InputError, UnmetRequirementError

MAX_FILE_BYTES = 64 << 20
MAX_TOTAL_BYTES = 1 << 59
REQUIRED = ("id", "lower", "upper", "size")
KNOWN = (*REQUIRED, "alignment", "offset")
CONTRIBUTORS = 5

_INTEGER = re.compile(r"-?[0-9]{1,18}")


def read_buffers(path: Path) -> list[Buffer]:
    """Read the buffers, in the order of the file.

    Raises:
        InputError: naming file, line and column.
    """
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise InputError(f"{path}: expected at most {MAX_FILE_BYTES} bytes")
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from error
    rows = csv.reader(io.StringIO(text), strict=True)
    try:
        header = [name.strip() for name in next(rows, [])]
        _check_header(header, path)
        buffers = [
            _buffer(
                dict(zip(header, row, strict=False)), len(row) - len(header), rows.line_num, path
            )
            for row in rows
            if row
        ]
    except csv.Error as error:
        raise InputError(f"{path}: line {rows.line_num}: {error}") from error
    total = sum(buffer.size_bytes + buffer.alignment_bytes for buffer in buffers)
    if total > MAX_TOTAL_BYTES:
        raise InputError(f"{path}: expected at most {MAX_TOTAL_BYTES} bytes in all, got {total}")
    return buffers


def _check_header(header: list[str], path: Path) -> None:
    for name in REQUIRED:
        if name not in header:
            raise InputError(f"{path}: line 1: expected a column {name}, got {header}"[:300])
    for name in header:
        if name not in KNOWN or header.count(name) > 1:
            raise InputError(
                f"{path}: line 1: expected columns out of {', '.join(KNOWN)}, each once, "
                f"got {name[:60]!r}"
            )


def _buffer(fields: dict[str, str], excess: int, line: int, path: Path) -> Buffer:
    where = f"{path}: line {line}"
    if excess:
        raise InputError(f"{where}: expected as many fields as line 1 has, got {excess:+d}")

    def integer(name: str, least: int) -> int:
        text = fields[name].strip()
        if not _INTEGER.fullmatch(text) or int(text) < least:
            raise InputError(
                f"{where}: {name}: expected a whole number from {least} on, got {text[:40]!r}"
            )
        return int(text)

    lower, upper = integer("lower", -(10**18)), integer("upper", -(10**18))
    if lower >= upper:
        raise InputError(f"{where}: expected lower < upper, got {lower} and {upper}")
    alignment = integer("alignment", 1) if "alignment" in fields else 1
    return Buffer(fields["id"].strip(), lower, upper, integer("size", 0), alignment)


def solution_csv(buffers: Sequence[Buffer], offsets: Sequence[int]) -> str:
    """The buffers with their offsets; `alignment` only where one is above 1."""
    aligned = any(buffer.alignment_bytes > 1 for buffer in buffers)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*REQUIRED, *(["alignment"] if aligned else []), "offset"])
    for buffer, offset in zip(buffers, offsets, strict=True):
        alignment = [buffer.alignment_bytes] if aligned else []
        writer.writerow(
            [buffer.name, buffer.lower, buffer.upper, buffer.size_bytes, *alignment, offset]
        )
    return text.getvalue()


def require_feasible(
    buffers: Sequence[Buffer], allocation: Allocation, capacity_bytes: int
) -> None:
    """Explain an allocation that does not fit.

    Raises:
        UnmetRequirementError: it does not.
    """
    if allocation.feasible:
        return
    time, live = busiest_time(buffers)
    demand = sum(buffer.size_bytes for buffer in live)
    bound = max(demand, allocation.lower_bound_bytes)
    details = [f"live at once: {demand} bytes at time {time}, in {len(live)} buffers"]
    if allocation.exhausted:
        message = f"no allocation within {capacity_bytes} bytes was found"
        details.append(
            f"at least {bound} bytes are needed and {allocation.height_bytes} are enough; "
            f"whether {capacity_bytes} are is not decided"
        )
    else:
        message = f"no allocation fits {capacity_bytes} bytes"
        details.append(
            f"at least {max(bound, capacity_bytes + 1)} bytes are needed, and "
            f"{allocation.height_bytes} are enough"
        )
    largest = sorted(live, key=lambda buffer: (-buffer.size_bytes, buffer.name))[:CONTRIBUTORS]
    details += [
        f"largest then: {buffer.name} {buffer.size_bytes} bytes, live from {buffer.lower} to "
        f"{buffer.upper}"
        for buffer in largest
    ]
    details.append(f"what would help: --capacity {allocation.height_bytes}, or shorter lifetimes")
    raise UnmetRequirementError(message, tuple(details))


def busiest_time(buffers: Sequence[Buffer]) -> tuple[int, list[Buffer]]:
    """The earliest time at which most bytes are live, and what is live then."""
    changes: dict[int, int] = {}
    for buffer in buffers:
        changes[buffer.lower] = changes.get(buffer.lower, 0) + buffer.size_bytes
        changes[buffer.upper] = changes.get(buffer.upper, 0) - buffer.size_bytes
    live = most = busiest = 0
    for time in sorted(changes):
        live += changes[time]
        if live > most:
            most, busiest = live, time
    return busiest, [b for b in buffers if b.lower <= busiest < b.upper]
