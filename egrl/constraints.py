"""The constraints file: hard decisions that the user has taken already.

[pins]
"encoder.weight" = "SRAM"
"logits" = "LLC"
"""

import tomllib
from pathlib import Path

import msgspec

from graph_ir.errors import InputError

MAX_FILE_BYTES = 16 << 20


class Constraints(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What placers must respect.

    Attributes:
        pins: home name by tensor name.
    """

    pins: dict[str, str] = {}


def read_constraints(path: Path) -> Constraints:
    """Read and check a constraints file.

    Raises:
        InputError: naming the file and the key.
    """
    try:
        if path.exists() and not path.is_file():
            raise InputError(f"{path}: expected a file")
        if path.stat().st_size > MAX_FILE_BYTES:
            raise InputError(f"{path}: expected at most {MAX_FILE_BYTES} bytes")
        return msgspec.convert(tomllib.loads(path.read_text("utf-8")), Constraints)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError, RecursionError) as error:
        raise InputError(f"{path}: {error}") from error
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from error
