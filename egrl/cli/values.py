"""Values of flags, checked."""

import argparse
import math
from collections.abc import Sequence

from graph_ir.errors import InputError

LARGEST_EXTENT = 2**31


def add_dims(parser: argparse.ArgumentParser) -> None:
    """Add the flag `--dim`, whose values `extents` reads."""
    parser.add_argument(
        "--dim",
        action="append",
        default=[],
        metavar="NAME=NUMBER",
        help="extent of a symbolic dimension (may be repeated)",
    )


def extents(pairs: Sequence[str]) -> dict[str, int]:
    """`--dim name=value`, each name once.

    Raises:
        InputError: not a name and a positive whole number.
    """
    result: dict[str, int] = {}
    for pair in pairs:
        name, sign, text = pair.rpartition("=")
        if not sign or not name or not text.isascii() or not text.isdecimal():
            raise InputError(f"--dim {pair}: expected NAME=NUMBER")
        value = int(text) if len(text) <= 12 else LARGEST_EXTENT + 1
        if not 1 <= value <= LARGEST_EXTENT:
            raise InputError(f"--dim {pair}: expected 1 to {LARGEST_EXTENT}, got {text}")
        if name in result:
            raise InputError(f"--dim {pair}: {name} is given twice")
        result[name] = value
    return result


def whole_number(text: str) -> int:
    """A whole number that is not negative."""
    if not text.isascii() or not text.isdecimal() or len(text) > 18:
        raise argparse.ArgumentTypeError(f"expected a whole number from 0 on, got {text!r}")
    return int(text)


def positive_number(text: str) -> int:
    """A whole number above 0."""
    value = whole_number(text)
    if value == 0:
        raise argparse.ArgumentTypeError("expected a whole number above 0, got 0")
    return value


def positive_seconds(text: str) -> float:
    """A time above 0."""
    return _positive(text, "seconds")


def not_negative(text: str) -> float:
    """A finite number from 0 on."""
    return 0.0 if text.strip("0") in ("", ".") and text else _positive(text, "0 or a number")


def positive_ratio(text: str) -> float:
    """A finite number above 0."""
    return _positive(text, "a number")


def _positive(text: str, what: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"expected {what} above 0, got {text!r}")
    return value
