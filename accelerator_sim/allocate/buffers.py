"""What the allocator is asked and what it answers."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Buffer:
    """A block of memory that is needed for a while.

    Attributes:
        name: for messages only.
        lower: first time at which it is live.
        upper: one past the last time at which it is live.
        size_bytes: contiguous.
        alignment_bytes: its offset is a multiple of this.
    """

    name: str
    lower: int
    upper: int
    size_bytes: int
    alignment_bytes: int = 1


@dataclass(frozen=True, slots=True)
class Allocation:
    """Offsets, and what is known of them.

    Attributes:
        offsets: one for each buffer, in the order in which they were given. They never overlap;
            they fit the capacity only where `feasible`.
        height_bytes: the highest end of a buffer.
        lower_bound_bytes: no allocation is lower than this.
        feasible: the offsets fit the capacity.
        exhausted: nothing that fits was found, and it is not proven that there is nothing.
            Neither feasible nor exhausted means: proven infeasible.
        nodes: search nodes that were visited.
    """

    offsets: tuple[int, ...]
    height_bytes: int
    lower_bound_bytes: int
    feasible: bool
    exhausted: bool
    nodes: int = 0
