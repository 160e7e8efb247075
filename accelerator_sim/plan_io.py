"""Plans as files."""

import os
import stat
from pathlib import Path

import msgspec

from accelerator_sim.plan import PLAN_SCHEMA, Plan
from graph_ir.errors import InputError
from graph_ir.text import reason_of

# A plan of 50,000 tensors and as many transfers has about 40 MB.
MAX_PLAN_BYTES = 1 << 28


class _SchemaOnly(msgspec.Struct, frozen=True):
    schema: int


def plan_bytes(plan: Plan) -> bytes:
    """A plan as JSON: fields in the order of the schema, so that equal plans are equal bytes."""
    return msgspec.json.format(msgspec.json.encode(plan), indent=1) + b"\n"


def parse_plan(data: bytes, where: str) -> Plan:
    """Decode a plan strictly; whether it is sound is for `accelerator_sim.validate` to say.

    Args:
        data: JSON.
        where: the file's name, for messages.

    Raises:
        InputError: not JSON, another schema, an unknown, missing or mistyped field (with its
            path in the document).
    """
    if len(data) > MAX_PLAN_BYTES:
        raise InputError(f"{where}: expected at most {MAX_PLAN_BYTES} bytes, got {len(data)}")
    try:
        schema = msgspec.json.decode(data, type=_SchemaOnly).schema
        if schema != PLAN_SCHEMA:
            raise InputError(f"{where}: unknown schema: expected {PLAN_SCHEMA}, got {schema}")
        return msgspec.json.decode(data, type=Plan)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"{where}: not a plan: {reason_of(error)}") from error


def read_plan(path: Path) -> Plan:
    """Read a plan.

    Raises:
        InputError: as `parse_plan`, or the file cannot be read or is too large.
    """
    return parse_plan(read_limited(path, MAX_PLAN_BYTES), str(path))


def read_limited(path: Path, limit_bytes: int) -> bytes:
    """Read a regular file whose size is checked first.

    Raises:
        InputError: it cannot be read, is not a regular file or is too large.
    """
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise InputError(f"{path}: expected a file")
            if status.st_size > limit_bytes:
                raise InputError(
                    f"{path}: expected at most {limit_bytes} bytes, got {status.st_size}"
                )
            return file.read(limit_bytes + 1)
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot read it: {reason_of(error)}") from error
