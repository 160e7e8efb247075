"""Random buffers, and an oracle that knows nothing of the allocator."""

from collections.abc import Sequence

from hypothesis import strategies as st

from accelerator_sim.allocate import Buffer


@st.composite
def buffer_lists(
    draw: st.DrawFn,
    most: int = 30,
    largest: int = 200,
    alignments: Sequence[int] = (1,),
    times: int = 12,
    whole_time: bool = True,
) -> list[Buffer]:
    """Buffers of one memory; some live the whole time, as weights do."""
    buffers = []
    for index in range(draw(st.integers(0, most))):
        lower = draw(st.integers(0, times - 1))
        upper = draw(st.integers(lower + 1, times))
        if whole_time and draw(st.integers(0, 3)) == 0:
            lower, upper = 0, times
        size = draw(st.integers(0, largest))
        buffers.append(Buffer(f"b{index}", lower, upper, size, draw(st.sampled_from(alignments))))
    return buffers


def overlapping(buffers: Sequence[Buffer], offsets: Sequence[int]) -> list[tuple[str, str]]:
    """Pairs that share a byte while both are live."""
    placed = list(zip(buffers, offsets, strict=True))
    return [
        (a.name, b.name)
        for i, (a, p) in enumerate(placed)
        for b, q in placed[:i]
        if max(a.lower, b.lower) < min(a.upper, b.upper)
        and max(p, q) < min(p + a.size_bytes, q + b.size_bytes)
    ]


@st.composite
def full_lists(draw: st.DrawFn) -> tuple[list[Buffer], int]:
    """Buffers that fill a memory at every time, and its capacity: often there is no allocation."""
    capacity = draw(st.integers(3, 7))
    live: list[tuple[int, int]] = []
    buffers: list[Buffer] = []
    for time in range(draw(st.integers(1, 5)) + 1):
        dying = [draw(st.integers(0, 4)) < 2 for _ in live]
        for (lower, size), dies in zip(live, dying, strict=True):
            if dies:
                buffers.append(Buffer(f"b{len(buffers)}", lower, time, size))
        live = [entry for entry, dies in zip(live, dying, strict=True) if not dies]
        free = capacity - sum(size for _, size in live)
        while free:
            size = draw(st.integers(1, free))
            live.append((time, size))
            free -= size
        end = time + 1
    buffers += [Buffer(f"e{i}", lower, end, size) for i, (lower, size) in enumerate(live)]
    return buffers, capacity


def fits(buffers: Sequence[Buffer], capacity: int) -> bool:
    """Whether an allocation exists: try every offset of every buffer."""
    order = sorted(buffers, key=lambda b: (b.lower, b.upper, b.name))
    offsets: list[int] = []

    def place(index: int) -> bool:
        if index == len(order):
            return True
        b = order[index]
        for offset in range(0, capacity - b.size_bytes + 1, b.alignment_bytes):
            if all(
                a.upper <= b.lower or at + a.size_bytes <= offset or offset + b.size_bytes <= at
                for a, at in zip(order[:index], offsets, strict=True)
            ):
                offsets.append(offset)
                if place(index + 1):
                    return True
                offsets.pop()
        return False

    return place(0)


def most_live(buffers: Sequence[Buffer]) -> int:
    """The largest sum of sizes that are live at once."""
    return max(
        (sum(b.size_bytes for b in buffers if b.lower <= a.lower < b.upper) for a in buffers),
        default=0,
    )
