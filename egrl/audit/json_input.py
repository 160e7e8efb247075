"""Reading JSON from strangers: one error line with the path inside the document."""

import json
from pathlib import Path
from typing import TypeVar

import msgspec

from graph_ir.errors import InputError

MAX_FILE_BYTES = 256 * 2**20

T = TypeVar("T")


def read_text(path: Path) -> str:
    """The text of a UTF-8 file of at most `MAX_FILE_BYTES`.

    Raises:
        InputError: it is missing, not a plain file, too large, or not UTF-8.
    """
    try:
        if not path.is_file():
            raise InputError(f"{path}: expected a file, found none")
        size_bytes = path.stat().st_size
        if size_bytes > MAX_FILE_BYTES:
            raise InputError(
                f"{path}: expected at most {MAX_FILE_BYTES} bytes, got {size_bytes} bytes"
            )
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise InputError(f"{str(path)!r}: not a file name: {error}") from error
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: expected UTF-8, got byte {error.start} that is not") from error


def decode_json(text: str, kind: type[T], where: str, schema: int) -> T:
    """Decodes JSON into a struct with a `schema` field.

    Args:
        text: JSON.
        kind: the struct.
        where: what to call the document in errors.
        schema: the only version that this program reads.

    Raises:
        InputError: malformed, another schema version, a wrong field, a duplicate key.
    """
    data = text.encode("utf-8", "surrogatepass")
    try:
        version = msgspec.json.decode(data, type=_Versioned).schema
        if version != schema:
            raise InputError(f"{where}: $.schema: expected {schema}, got {version}")
        value = msgspec.json.decode(data, type=kind)
        # Typed decoding came first: it bounds the depth, so that the recursion below is shallow.
        json.loads(text, object_pairs_hook=_refuse_duplicates)
    except _DuplicateKeyError as error:
        raise InputError(f"{where}: the key {error.args[0]!r} is given twice") from None
    except (msgspec.DecodeError, RecursionError, ValueError) as error:
        raise InputError(f"{where}: {_one_line(str(error))}") from error
    return value


class _Versioned(msgspec.Struct):
    schema: int


class _DuplicateKeyError(Exception):
    """A JSON object names a key twice; the decoder would keep the last without a word."""


def _refuse_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise _DuplicateKeyError(key)
            seen.add(key)
    return members


def _one_line(message: str) -> str:
    return " ".join(message.split())
