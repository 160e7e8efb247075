"""How much of a large graph is drawn; the page says so wherever something is left out."""

import unicodedata

MAX_OPS = 2000
"""Rows of the table of ops, and points of the roofline: the slowest ones."""

MAX_BLOCKS = 1200
"""Blocks per lane of the timeline: runs of consecutive ops share a block where there are more."""

MAX_TRANSFERS = 3000
"""DMA transfers drawn: consecutive ones of a lane share a block where there are more."""

MAX_TENSORS = 2000
"""Rectangles of the memory map: those that take most memory for longest."""

MAX_NAME = 160
"""Characters of a name; the middle of a longer one is left out."""

MAX_DIFFERENCES = 500
"""Rows of the table that compares ops of several cases: the largest differences."""

MAX_CASES = 24
"""Cases of one page; more are refused."""

DIGITS = 7
"""Significant digits of what is drawn. The headline is not rounded."""


_UNSHOWN = ("Cc", "Cf", "Cs", "Zl", "Zp")
"""Unicode categories of what has no picture, turns the direction of text or breaks lines."""


def shown(text: str) -> str:
    """Text from a file with a replacement character for what cannot or must not be shown."""
    if text.isascii() and text.isprintable():
        return text
    return "".join("\ufffd" if unicodedata.category(c) in _UNSHOWN else c for c in text)


def short(name: str, length: int = MAX_NAME) -> str:
    """A name without its middle where it is too long; the end says more than the middle."""
    name = shown(name)
    if len(name) <= length:
        return name
    tail = length * 2 // 3
    return name[: length - tail - 1] + "\u2026" + name[-tail:]


def drawn(value: float) -> float:
    """A number to the precision that a picture needs."""
    rounded = float(f"{value:.{DIGITS}g}")
    return int(rounded) if rounded.is_integer() and abs(rounded) < 2**53 else rounded
