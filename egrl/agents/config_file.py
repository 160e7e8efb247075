"""The file that holds an agent's hyper-parameters."""

from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from graph_ir.errors import InputError

Config = TypeVar("Config")


def load_table(path: Path, kind: type[Config]) -> Config:
    """Read a file of hyper-parameters; what it leaves out keeps its default.

    Args:
        path: TOML file.
        kind: frozen dataclass whose constructor checks the ranges.

    Raises:
        InputError: it cannot be read, has an unknown key, or a value is wrong.
    """
    try:
        table = msgspec.toml.decode(path.read_bytes())
    except (OSError, UnicodeDecodeError, msgspec.DecodeError) as error:
        raise InputError(f"{path}: {' '.join(str(error).split())}") from error
    # A run's own file says in that table what was learned; `egrl train` reads it.
    table.pop("run", None)
    dataclass: Any = kind
    known = [field.name for field in fields(dataclass)]
    for key in table:
        if key not in known:
            raise InputError(f"{path}: {key!a}: unknown key; expected one of {known}")
    try:
        return msgspec.convert(table, kind)
    except (msgspec.ValidationError, InputError) as error:
        raise InputError(f"{path}: {error}") from error
