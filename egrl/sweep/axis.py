"""One axis of a sweep: `KEY=VALUE,VALUE,...` with units and multiples, checked."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from accelerator_sim.accelerator import Accelerator
from egrl.sweep.keys import Key, Unit, parse_key, value_of
from graph_ir.errors import InputError
from graph_ir.text import quoted

DIMENSION = "dim:"
BATCH = "batch"
MAX_VALUES = 100

_DECIMAL = {"": 1.0, "k": 1e3, "K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}
_BINARY = {"Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30, "Ti": 2.0**40}
_SCALES: dict[Unit, dict[str, float]] = {
    "bytes": {f"{prefix}B": scale for prefix, scale in (_DECIMAL | _BINARY).items()},
    "bytes_per_s": {f"{prefix}B/s": scale for prefix, scale in (_DECIMAL | _BINARY).items()},
    "seconds": {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9},
    "hertz": {f"{prefix}Hz": scale for prefix, scale in _DECIMAL.items()},
    "count": {},
}
_EXAMPLES: dict[Unit, str] = {
    "bytes": "4MiB",
    "bytes_per_s": "64GB/s",
    "seconds": "180ns",
    "hertz": "940MHz",
    "count": "8",
}
_FORM = re.compile(r"(\d{1,18}(?:\.\d{1,18})?(?:[eE][+-]?\d{1,3})?)([A-Za-z/]{0,5})")


@dataclass(frozen=True, slots=True)
class Axis:
    """What is varied, and over which values.

    Attributes:
        text: the name as it was given.
        key: the number of the accelerator, or None for a dimension of the model.
        dimension: of the model, or "".
        values: in SI units, in the order given, all different.
        labels: the values as they were given.
    """

    text: str
    key: Key | None
    dimension: str
    values: tuple[float, ...]
    labels: tuple[str, ...]


def parse_axis(text: str, accelerator: Accelerator, batch_dimension: str = "") -> Axis:
    """Parse one `--vary`.

    Args:
        text: `SRAM.capacity_bytes=1MiB,2MiB`, `clock_hz=0.5x,1x`, `dim:seq=32,64`, `batch=1,8`.
        accelerator: that multiples are relative to.
        batch_dimension: what `batch` is called in the model.

    Raises:
        InputError: an unknown key or one bad value.
    """
    name, sign, list_text = text.partition("=")
    # A dimension's name may hold anything, its extents are digits and commas.
    if name.startswith(DIMENSION):
        name, sign, list_text = text.rpartition("=")
    labels = tuple(label.strip() for label in list_text.split(","))
    if not sign or not name or labels == ("",):
        raise InputError(f"--vary {quoted(text)}: expected KEY=VALUE,VALUE,...")
    if len(labels) > MAX_VALUES:
        raise InputError(f"--vary {name}: expected at most {MAX_VALUES} values, got {len(labels)}")
    key, dimension = None, ""
    if name == BATCH or name.startswith(DIMENSION):
        dimension = batch_dimension if name == BATCH else name.removeprefix(DIMENSION)
        values = tuple(_extent(name, label) for label in labels)
    else:
        key = parse_key(accelerator, name)
        values = tuple(_number(key, label, accelerator) for label in labels)
    for position, value in enumerate(values):
        if value in values[:position]:
            first = labels[values.index(value)]
            raise InputError(f"--vary {name}: {labels[position]} is the same value as {first}")
    return Axis(name, key, dimension, values, labels)


def _extent(name: str, label: str) -> float:
    if not re.fullmatch(r"[1-9][0-9]{0,9}", label) or int(label) >= 2**31:
        raise InputError(
            f"--vary {quoted(name)}: expected whole numbers from 1 on, got {quoted(label)}"
        )
    return float(label)


def _number(key: Key, label: str, accelerator: Accelerator) -> float:
    where = f"--vary {key.text}"
    match = _FORM.fullmatch(label)
    scales = _SCALES[key.unit]
    if match is None or match[2] not in ("", "x", *scales):
        raise InputError(
            f"{where}: expected values such as {_EXAMPLES[key.unit]} or multiples such as 0.5x, "
            f"got {quoted(label)}"
        )
    value = float(match[1])
    if match[2] == "x":
        value *= value_of(accelerator, key)
        value = round(value) if key.unit == "bytes" else value
    elif match[2]:
        value *= scales[match[2]]
    if value == 0 and not key.may_be_zero:
        raise InputError(f"{where}: expected more than 0, got {label}")
    if not math.isfinite(value) or (key.is_whole and value != int(value)):
        raise InputError(f"{where}: expected a whole number, got {label} ({value:g})")
    return float(value)


def check_axes(axes: Sequence[Axis]) -> None:
    """Refuse axes that would vary the same thing.

    Raises:
        InputError: naming both.
    """
    seen: dict[tuple[str, str], str] = {}
    for axis in axes:
        for part in _parts(axis):
            if part in seen:
                raise InputError(f"--vary {axis.text}: {seen[part]} varies the same")
            seen[part] = axis.text


def _parts(axis: Axis) -> list[tuple[str, str]]:
    if axis.key is None:
        return [("dim", axis.dimension)]
    owner, field = axis.key.owner, axis.key.field
    fields = ("read_bytes_per_s", "write_bytes_per_s") if field == "bandwidth" else (field,)
    return [(f"owner:{owner}", name) for name in fields]
