"""The answer of a machine: the last line that it prints."""

import math
import re

import msgspec

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_SHOWN = 60


class _Answer(msgspec.Struct, frozen=True):
    """A JSON object; other fields may say what they like."""

    latency_s: float


def parse_answer(stdout: str) -> tuple[float, str]:
    """Latency in seconds, or NaN and why.

    The last line that is not empty is a positive number, or a JSON object whose `latency_s` is.
    """
    lines = [line.strip() for line in stdout.splitlines() if line.strip()]
    if not lines:
        return math.nan, "printed nothing"
    latency_s = _number(lines[-1])
    if latency_s is None:
        return math.nan, f"expected seconds in the last line, got {_short(lines[-1])}"
    if not 0 < latency_s < math.inf:
        return math.nan, f"expected a positive number of seconds, got {_short(lines[-1])}"
    return latency_s, ""


def _number(line: str) -> float | None:
    if _NUMBER.fullmatch(line):
        return float(line)
    if not line.startswith("{"):
        return None
    try:
        return msgspec.json.decode(line, type=_Answer).latency_s
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None


def _short(line: str) -> str:
    text = line if len(line) <= _SHOWN else line[: _SHOWN - 3] + "..."
    return repr(text) if text.isprintable() else ascii(text)
