"""Blocks of memory over time, and which of them collide."""

from bisect import bisect_left, insort
from collections.abc import Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Span:
    """Bytes `[low, high)` during `[start, end)`, both not empty.

    Attributes:
        label: whose they are.
    """

    low: int
    high: int
    start: int
    end: int
    label: str

    def text(self) -> str:
        """For a message."""
        return f"bytes [{self.low}, {self.high}) at ops [{self.start}, {self.end})"


def wrapped(span: Span, period: int) -> list[Span]:
    """The span within one inference: what reaches into the next one comes round to its start."""
    if span.end <= period:
        return [span]
    pieces = [
        Span(span.low, span.high, span.start, period, span.label),
        Span(span.low, span.high, 0, min(span.end - period, span.start), span.label),
    ]
    return [piece for piece in pieces if piece.start < piece.end]


def collisions(spans: Sequence[Span]) -> Iterator[tuple[Span, Span]]:
    """Pairs that share a byte at a time, in order of time.

    The live spans are kept sorted by their bytes. They are disjoint, so a new one can only
    collide with its neighbours; one that collides is reported and left out, so that of three
    spans on one another not every pair is named.
    """
    events = [(span.start, 1, i) for i, span in enumerate(spans)]
    events += [(span.end, 0, i) for i, span in enumerate(spans)]
    live: list[tuple[int, int]] = []
    for _, begins, i in sorted(events):
        span = spans[i]
        at = bisect_left(live, (span.low, i))
        if not begins:
            if at < len(live) and live[at] == (span.low, i):
                del live[at]
            continue
        first = at - 1 if at > 0 and spans[live[at - 1][1]].high > span.low else at
        hit = False
        while first < len(live) and live[first][0] < span.high:
            yield spans[live[first][1]], span
            hit = True
            first += 1
        if not hit:
            insort(live, (span.low, i))
