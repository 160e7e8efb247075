"""A packing problem as flat arrays: sections instead of times, alignment units instead of bytes."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from accelerator_sim.allocate.buffers import Buffer
from accelerator_sim.compiled import compiled

Ints = NDArray[np.int64]

# Sums of rounded sizes and offsets stay inside int64.
LIMIT_BYTES = 1 << 60


@dataclass(frozen=True, slots=True)
class PackingProblem:
    """Buffers with a size above 0, in units of the greatest common divisor of the alignments.

    Times are replaced by sections, the maximal sets of buffers that are live together: two
    buffers overlap in time exactly where their ranges of sections do.

    Attributes:
        first: first section of each buffer (axis N).
        last: one past its last section.
        size: rounded up to whole units.
        alignment: in units.
        highest: the largest offset, in units, with which a buffer ends inside the capacity;
            negative where there is none.
        length: live time, which sort keys use.
        capacity: in units, rounded up; `highest` is what is exact.
        sections: their number.
        lossless: rounding changed nothing: equal alignments that divide the capacity. Only then
            may a buffer that lives the whole time be put at the bottom without loss.
    """

    first: Ints
    last: Ints
    size: Ints
    alignment: Ints
    highest: Ints
    length: Ints
    capacity: int
    sections: int
    lossless: bool

    def part(self, members: Ints, base: int) -> "PackingProblem":
        """The problem of some of the buffers in what lies above `base` units."""
        first, last, sections = section_ranges(self.first[members], self.last[members])
        return PackingProblem(
            first=first,
            last=last,
            size=self.size[members],
            alignment=self.alignment[members],
            highest=self.highest[members] - base,
            length=self.length[members],
            capacity=self.capacity - base,
            sections=sections,
            lossless=self.lossless,
        )

    def demand(self) -> int:
        """Units that are live at once, at most."""
        change = np.zeros(self.sections + 1, np.int64)
        np.add.at(change, self.first, self.size)
        np.subtract.at(change, self.last, self.size)
        return int(np.cumsum(change).max(initial=0))


@compiled
def _sweep(lower: Ints, upper: Ints, starts: Ints, ends: Ints, first: Ints, last: Ints) -> int:
    section = 0
    grown = False
    started = 0
    for ended in range(len(ends)):
        time = upper[ends[ended]]
        while started < len(starts) and lower[starts[started]] < time:
            first[starts[started]] = section
            grown = True
            started += 1
        if grown:
            section += 1
            grown = False
        last[ends[ended]] = section
    return section


def section_ranges(lower: Ints, upper: Ints) -> tuple[Ints, Ints, int]:
    """Sections of half-open lifetimes: the first, one past the last, and how many there are."""
    first = np.empty(len(lower), np.int64)
    last = np.empty(len(lower), np.int64)
    starts = np.argsort(lower, kind="stable")
    ends = np.argsort(upper, kind="stable")
    sections = _sweep(lower, upper, starts, ends, first, last)
    return first, last, int(sections)


def pack(
    lower: Ints, upper: Ints, size_bytes: Ints, alignment_bytes: Ints, capacity_bytes: int
) -> PackingProblem:
    """Bring buffers of more than 0 bytes into the form that is searched."""
    unit = int(np.gcd.reduce(alignment_bytes)) if len(alignment_bytes) else 1
    first, last, sections = section_ranges(lower, upper)
    alignment = alignment_bytes // unit
    return PackingProblem(
        first=first,
        last=last,
        size=-(-size_bytes // unit),
        alignment=alignment,
        highest=(capacity_bytes - size_bytes) // unit,
        length=upper - lower,
        capacity=-(-capacity_bytes // unit),
        sections=sections,
        lossless=bool(capacity_bytes % unit == 0 and np.all(alignment == 1)),
    )


def arrays_of(buffers: Sequence[Buffer]) -> tuple[Ints, Ints, Ints, Ints]:
    """Lower, upper, size and alignment of buffers.

    Raises:
        ValueError: a buffer that no caller should have made, or more than fits 64 bits.
    """
    for b in buffers:
        if b.lower >= b.upper or b.size_bytes < 0 or b.alignment_bytes < 1:
            raise ValueError(f"not a buffer that can be placed: {b}")
    if sum(b.size_bytes + b.alignment_bytes for b in buffers) >= LIMIT_BYTES:
        raise ValueError(f"buffers of more than {LIMIT_BYTES} bytes in all")
    return (
        np.array([b.lower for b in buffers], np.int64),
        np.array([b.upper for b in buffers], np.int64),
        np.array([b.size_bytes for b in buffers], np.int64),
        np.array([b.alignment_bytes for b in buffers], np.int64),
    )
