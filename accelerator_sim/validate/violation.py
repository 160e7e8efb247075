"""What can be wrong with a plan."""

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """The rule that a plan breaks."""

    BAD_SCHEMA = "unknown schema"
    BAD_VALUE = "bad value"
    DUPLICATE_NAME = "duplicate name"
    UNKNOWN_TIER = "unknown tier"
    UNKNOWN_TENSOR = "unknown tensor"
    NO_RESIDENCE = "no residence"
    ALIAS_RESIDENCE = "alias with a residence"
    ALIAS_CYCLE = "alias cycle"
    ALIAS_OUTSIDE = "alias outside its owner"
    BAD_MODE = "bad mode"
    BAD_LIFETIME = "bad lifetime"
    NEGATIVE_OFFSET = "negative offset"
    MISALIGNED = "misaligned"
    OUTSIDE_CAPACITY = "outside capacity"
    OVERLAP = "overlap"
    NOT_LIVE = "not live"
    NOT_WRITTEN = "read before it is written"
    CONSTANT_WRITTEN = "constant is written"
    NOT_LOADED = "not loaded"
    BAD_COPY = "bad copy"
    COPY_SOURCE = "copy from elsewhere"
    COPY_TARGET = "copy to elsewhere"
    COPY_OVERWRITES = "copy overwrites live data"
    COPY_UNUSED = "copy that no op uses"
    COPY_LATE = "copy misses its deadline"
    NOT_STREAMED = "not streamed whole"
    COPY_STALE = "copy of bytes that are then written"


@dataclass(frozen=True, slots=True)
class Violation:
    """One broken rule.

    Attributes:
        verdict: the rule.
        first: the culprit: a tensor, op or tier.
        second: the other culprit, or "".
        message: one line, names quoted.
    """

    verdict: Verdict
    first: str
    second: str
    message: str


def quote(name: str) -> str:
    """A name from a file on one line."""
    short = name if len(name) <= 120 else name[:120] + "..."
    return repr(short) if short.isprintable() else ascii(short)


def violation(verdict: Verdict, first: str, text: str, second: str = "") -> Violation:
    """A violation whose message begins with verdict and culprits."""
    names = quote(first) + (f" and {quote(second)}" if second else "")
    return Violation(verdict, first, second, f"{verdict}: {names}: {text}")
