"""An accelerator as a table: every number with its source, or the reason for assuming it."""

import itertools
import textwrap
from collections.abc import Iterator, Sequence

import msgspec

from accelerator_sim.accelerator import Accelerator, Tier
from accelerator_sim.quantity import Quantity
from accelerator_sim.units import bytes_text, joules_text, number_text, plain, seconds_text

WIDTH = 100
_VALUE = 14
_NARROWEST = 30
_ORIGIN = ("source", "assumed", "reason")

# Ending of a field's name to how its value is written.
_FORMATS = (
    ("bytes_per_s", lambda v: f"{number_text(v)}B/s"),
    ("j_per_byte", lambda v: f"{joules_text(v)}/B"),
    ("_bytes", bytes_text),
    ("_hz", lambda v: f"{number_text(v)}Hz"),
    ("ops_per_s", lambda v: f"{number_text(v)}op/s"),
    ("_s", seconds_text),
    ("_j", joules_text),
    ("_w", lambda v: f"{v:g} W"),
)


def targets_text(targets: Sequence[Accelerator]) -> str:
    """One line per target."""
    width = max((len(target.name) for target in targets), default=0)
    return "\n".join(f"{t.name:<{width}}  {plain(t.description)}" for t in targets)


def target_table(target: Accelerator, text: str = "") -> str:
    """Every number of a target with its origin, lines separated by newlines.

    Args:
        target: to show.
        text: of its file; the comment at its head, where the abbreviated sources are spelled out,
            comes last.
    """
    rows = list(_rows("", target))
    width = max(len(key) for key, _, _ in rows)
    lines = [f"{target.name}: {plain(target.description)}", ""]
    for key, value, origin in rows:
        head = f"{plain(key):<{width}}  {value:>{_VALUE}}  "
        wrapped = textwrap.wrap(plain(origin), max(_NARROWEST, WIDTH - len(head))) or [""]
        lines += [(head + wrapped[0]).rstrip(), *(" " * len(head) + part for part in wrapped[1:])]
    if target.approximate:
        lines += ["", "Approximate:"]
        for entry in target.approximate:
            lines += textwrap.wrap(plain(entry), WIDTH, initial_indent="- ", subsequent_indent="  ")
    comment = itertools.takewhile(lambda line: line.startswith("#"), text.splitlines())
    about = [plain(line[1:].strip()) for line in comment]
    if about:
        lines += ["", "About this file:", *(f"  {line}".rstrip() for line in about)]
    return "\n".join(lines)


def _rows(path: str, value: object) -> Iterator[tuple[str, str, str]]:
    """Key path, value and origin of everything below `value`."""
    key = path.rsplit(".", 1)[-1]
    if isinstance(value, Quantity):
        yield path, _number(path, value.value), _origin(value)
    elif isinstance(value, msgspec.Struct):
        origin = _struct_origin(value)
        for name in value.__struct_fields__:
            if name in _ORIGIN or (not path and name in ("name", "description", "approximate")):
                continue
            if isinstance(value, Tier) and name == "name":
                continue
            below = f"{path}.{name}" if path else name
            item = getattr(value, name)
            for row_key, text, row_origin in _rows(below, item):
                # What a struct says of its own origin holds for its plain numbers.
                yield row_key, text, row_origin or (origin if row_key == below else "")
    elif isinstance(value, dict):
        for name, item in value.items():
            yield from _rows(f"{path}.{name}", item)
    elif isinstance(value, list) and value and isinstance(value[0], msgspec.Struct):
        for index, item in enumerate(value):
            label = item.name if isinstance(item, Tier) else str(index)
            yield from _rows(f"{path}.{label}", item)
    elif isinstance(value, list):
        yield path, ", ".join(str(item) for item in value) or "-", ""
    elif isinstance(value, bool) or not isinstance(value, int | float):
        yield path, "-" if value is None else str(value).lower(), ""
    else:
        yield path, _number(key, float(value)), ""


def _number(path: str, value: float) -> str:
    # Entries of `energy.mac_j` are named by type pair: the table's own name has the unit.
    for key in reversed(path.split(".")):
        for ending, write in _FORMATS:
            if key.endswith(ending):
                return write(value)
    return f"{value:g}"


def _origin(quantity: Quantity) -> str:
    if quantity.assumed:
        return f"assumed: {quantity.reason}"
    return f"{quantity.source}; {quantity.reason}" if quantity.reason else quantity.source


def _struct_origin(value: msgspec.Struct) -> str:
    source = getattr(value, "source", "")
    if getattr(value, "assumed", False):
        return f"assumed: {getattr(value, 'reason', '')}"
    return str(source)
