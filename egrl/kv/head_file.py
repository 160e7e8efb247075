"""A file with one weight for every KV head."""

from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np

from egrl.kv.probe import Scores
from graph_ir.errors import InputError

_MOST_BYTES = 16 << 20


def read_heads(path: Path, kv_heads: Sequence[int]) -> Scores:
    """The weights of a file.

    Args:
        path: nested lists in a `.json` file; else lines of numbers between white space.
        kv_heads: number of KV heads of each layer.

    Raises:
        InputError: it cannot be read, or is not one finite weight for every KV head.
    """
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise InputError(f"{path}: expected at most {_MOST_BYTES} bytes of weights")
        text = path.read_text("utf-8")
        rows = (
            msgspec.json.decode(text, type=list[list[float]])
            if path.suffix == ".json"
            else [[float(word) for word in line.split()] for line in text.splitlines() if line]
        )
    except (OSError, ValueError, msgspec.DecodeError) as error:
        raise InputError(f"{path}: {' '.join(str(error).split())}") from error
    got = [len(row) for row in rows]
    if got != list(kv_heads):
        raise InputError(
            f"{path}: expected weights of {list(kv_heads)} KV heads by layer, got {got}"
        )
    if not np.isfinite([value for row in rows for value in row]).all():
        raise InputError(f"{path}: expected finite weights")
    return tuple(tuple(row) for row in rows)
