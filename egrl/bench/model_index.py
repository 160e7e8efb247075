"""The development set as `scripts/models` builds it: `index.json` in its cache folder."""

import os
from pathlib import Path

import msgspec

from graph_ir.errors import InputError

# Models of the set that are there to be refused.
REFUSED = ("silero-vad-if",)


class IndexEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One model: file names in the folder, and its dimensions."""

    file: str
    dims: dict[str, int]
    inputs: str


def models_folder() -> Path:
    """`EGRL_CACHE`, or `.cache/models` in the current folder."""
    return Path(os.environ.get("EGRL_CACHE") or Path(".cache") / "models")


def read_index(folder: Path, names: list[str]) -> dict[str, IndexEntry]:
    """The models of the set that compile, in order.

    Args:
        folder: cache folder of `scripts/models`.
        names: which of them; all where empty.

    Raises:
        InputError: there is no index, or not all of them are built.
    """
    path = folder / "index.json"
    try:
        index = msgspec.json.decode(path.read_bytes(), type=dict[str, IndexEntry])
    except OSError as error:
        raise InputError(f"{path}: cannot be read; run scripts/models first") from error
    except msgspec.DecodeError as error:
        raise InputError(f"{path}: {error}") from error
    missing = [name for name in names if name not in index]
    if missing:
        raise InputError(f"{path}: no model {missing[0]}; run scripts/models {missing[0]} first")
    wanted = names or [name for name in index if name not in REFUSED]
    return {name: index[name] for name in wanted}
