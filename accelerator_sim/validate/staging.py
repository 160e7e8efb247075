"""Checks of the staging ring: no slice is overwritten before the op that uses it has it."""

from collections.abc import Iterator, Sequence

from accelerator_sim.validate.copies import StagedSlice
from accelerator_sim.validate.spans import Span, collisions, wrapped
from accelerator_sim.validate.violation import Verdict, Violation, violation


def check_staging(slices: Sequence[StagedSlice], ops: int) -> Iterator[Violation]:
    """Slices that wait for an op are disjoint, and late ones do not run over them.

    The late slices of one op pass through the ring one after the other, over each other and over
    what the same op had fetched before it began: it takes them in order. So they are joined to
    one block, which must be free of slices that wait for later ops.
    """
    for tier in dict.fromkeys(piece.tier for piece in slices):
        here = [piece for piece in slices if piece.tier == tier]
        waiting = [piece for piece in here if not piece.late]
        found = False
        for a, b in collisions([s for piece in waiting for s in wrapped(piece.span, ops)]):
            found = True
            yield _overwritten(tier, a, b)
        if found:
            continue
        # Until its op begins, a waiting slice must also be kept from late ones.
        before = [
            s
            for piece in waiting
            for s in wrapped(_until(piece.span, piece.consumer), ops)
            if s.start < s.end
        ]
        late = _joined([piece.span for piece in here if piece.late])
        for a, b in collisions([*before, *late]):
            yield _overwritten(tier, a, b)


def _until(span: Span, end: int) -> Span:
    return Span(span.low, span.high, span.start, end, span.label)


def _joined(spans: Sequence[Span]) -> list[Span]:
    """Unions of the bytes of the spans of each op."""
    joined: list[Span] = []
    for span in sorted(spans, key=lambda s: (s.start, s.low, s.high, s.label)):
        last = joined[-1] if joined else None
        if last is not None and last.start == span.start and span.low <= last.high:
            high = max(last.high, span.high)
            joined[-1] = Span(last.low, high, last.start, last.end, last.label)
        else:
            joined.append(span)
    return joined


def _overwritten(tier: str, a: Span, b: Span) -> Violation:
    text = f"in the staging ring of {tier}: {a.text()}, {b.text()}"
    return violation(Verdict.COPY_OVERWRITES, a.label, text, b.label)
