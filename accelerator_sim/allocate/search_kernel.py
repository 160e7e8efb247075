"""The compiled depth-first search of one component.

Buffers are placed bottom-up in canonical order (offset, then rank), each at the lowest offset
that the buffers below it leave. Every feasible packing can be pushed down into that form, so the
search is complete. It works on *sections*: the maximal sets of buffers that are live together,
in order of time; buffer j is live in sections `[first[j], last[j])`.

Four things keep the tree small:

- dominance: nothing is placed at or above an offset below which another buffer would fit whole;
- section bound: the open buffers of a section, each released at the lowest offset that it can
  still have, are stacked in order of release; a stack above the capacity is a dead end;
- decomposition: where no open buffer crosses from one section to the next, both sides are solved
  apart, and when one fails the search jumps back over all that the other tried;
- ranks are computed anew for every part from the bytes that are still open in its sections.

The ideas of canonical order, dominance, section inference and decomposition were published with
MiniMalloc (Moffitt, ASPLOS 2023); the stacked bound and the explicit-stack form are ours.
"""

import numpy as np
from numpy.typing import NDArray

from accelerator_sim.compiled import compiled

Ints = NDArray[np.int64]
ShortInts = NDArray[np.int32]
Floats = NDArray[np.float64]

FOUND = 1
INFEASIBLE = 0
EXHAUSTED = -1
_FAR = np.int64(1 << 62)

# Columns of the frame table. A frame is one choice: which open buffer of a part comes next.
_START = 0  # of its open buffers in the pool
_COUNT = 1
_CURSOR = 2  # which of them is being tried
_LAST_OFFSET = 3  # canonical order: not below this offset ...
_LAST_RANK = 4  # ... nor, at this offset, before this rank
_CEILING = 5  # dominance: only below this offset
_TRAIL = 6  # length of the trail of minimum offsets when the frame began
_RANK_TRAIL = 7
_PARENT = 8  # the frame whose placement opened this part
_PART = 9  # which of the parent's parts
_FIRST_PART = 10  # of the parts that this frame's placement opened
_PARTS = 11
_PLACED = 12  # buffer, or -1
_POOL_TOP = 13  # free space in the pool
_PART_TOP = 14  # free space in the table of parts
_COLUMNS = 15


@compiled
def _sort_ranks(
    members: ShortInts, count: int, rank: ShortInts, keys: Floats, spec: Ints, total: Floats
) -> None:
    """Rank the first `count` members by falling keys; column 0 of the spec's keys is `total`."""
    for q in range(1, count):
        j = members[q]
        y = q
        while y > 0:
            z = members[y - 1]
            verdict = 0
            for c in range(len(spec)):
                a = total[z] if spec[c] == 0 else keys[z, spec[c]]
                b = total[j] if spec[c] == 0 else keys[j, spec[c]]
                if a != b:
                    verdict = 1 if a > b else -1
                    break
            if verdict > 0 or (verdict == 0 and z < j):
                break
            members[y] = z
            y -= 1
        members[y] = j
    for q in range(count):
        rank[members[q]] = q


@compiled
def _sort_pool(pool: ShortInts, start: int, end: int, low: Ints, rank: ShortInts) -> None:
    """Sort a slice of the pool by (lowest offset, rank)."""
    for q in range(start + 1, end):
        j = pool[q]
        y = q
        while y > start:
            z = pool[y - 1]
            if low[z] < low[j] or (low[z] == low[j] and rank[z] < rank[j]):
                break
            pool[y] = z
            y -= 1
        pool[y] = j


@compiled
def _rerank(
    pool: ShortInts,
    start: int,
    end: int,
    first: Ints,
    last: Ints,
    size: Ints,
    rank: ShortInts,
    keys: Floats,
    spec: Ints,
    total: Floats,
    section_sum: Ints,
    scratch: ShortInts,
) -> None:
    """Rank a part's buffers by what is still open in their sections."""
    for q in range(start, end):
        j = pool[q]
        for s in range(first[j], last[j]):
            section_sum[s] = 0
    for q in range(start, end):
        j = pool[q]
        scratch[q - start] = j
        for s in range(first[j], last[j]):
            section_sum[s] += size[j]
    for q in range(start, end):
        j = pool[q]
        most = np.int64(0)
        for s in range(first[j], last[j]):
            most = max(most, section_sum[s])
        total[j] = most
    _sort_ranks(scratch, end - start, rank, keys, spec, total)


@compiled
def _stack_fits(
    pool: ShortInts,
    start: int,
    end: int,
    floor: int,
    first: Ints,
    last: Ints,
    size: Ints,
    low: Ints,
    top: Ints,
    capacity: int,
    sections: int,
) -> bool:
    """The section bound. The slice is sorted by lowest offset, as the bound needs it."""
    left = sections
    right = 0
    for q in range(start, end):
        j = pool[q]
        left = min(left, first[j])
        right = max(right, last[j])
    for s in range(left, right):
        top[s] = floor
    for q in range(start, end):
        j = pool[q]
        release = low[j]
        for s in range(first[j], last[j]):
            height = max(top[s], release) + size[j]
            top[s] = height
            if height > capacity:
                return False
    return True


@compiled
def search_component(
    first: Ints,
    last: Ints,
    size: Ints,
    alignment: Ints,
    highest: Ints,
    keys: Floats,
    spec: Ints,
    capacity: int,
    sections: int,
    node_limit: int,
    offsets: Ints,
) -> tuple[int, int]:
    """Search one component for offsets within the capacity.

    Args:
        first: first section of each buffer (axis N).
        last: one past its last section.
        size: above 0.
        alignment: of each offset.
        highest: largest offset that each buffer may have.
        keys: static sort keys, shape [N, K]; column 0 is not read (see `spec`).
        spec: columns of `keys` by falling importance; 0 stands for the most bytes that are
            still open in a section of the buffer.
        capacity: no buffer ends above it.
        sections: their number.
        node_limit: placements to try.
        offsets: the result, written where the first value returned is `FOUND`.

    Returns:
        `FOUND`, `INFEASIBLE` or `EXHAUSTED`, and the number of nodes visited.
    """
    n = len(first)
    low = np.zeros(n, np.int64)  # lowest offset that the placed buffers leave
    crossing = np.zeros(sections + 1, np.int64)  # open buffers in both section s and s + 1
    top = np.zeros(sections + 1, np.int64)
    section_sum = np.zeros(sections + 1, np.int64)
    total = np.zeros(n, np.float64)
    rank = np.zeros(n, np.int32)
    scratch = np.empty(n + 1, np.int32)
    # Large but untouched memory: a frame needs at most its open buffers twice.
    pool = np.empty(n * (n + 3) + 8, np.int32)
    trail_buffer = np.empty(n * (n + 1) // 2 + n + 8, np.int32)
    trail_low = np.empty(n * (n + 1) // 2 + n + 8, np.int64)
    ranked_buffer = np.empty(n * (n + 1) // 2 + n + 8, np.int32)
    ranked_rank = np.empty(n * (n + 1) // 2 + n + 8, np.int32)
    frames = np.zeros((n + 2, _COLUMNS), np.int64)
    part_start = np.empty(2 * n + 8, np.int64)
    part_count = np.empty(2 * n + 8, np.int64)

    ceiling = _FAR
    for j in range(n):
        pool[j] = j
        ceiling = min(ceiling, size[j])
        for s in range(first[j], last[j] - 1):
            crossing[s] += 1
    _rerank(pool, 0, n, first, last, size, rank, keys, spec, total, section_sum, scratch)
    _sort_pool(pool, 0, n, low, rank)
    frames[0, _COUNT] = n
    frames[0, _CURSOR] = -1
    frames[0, _LAST_RANK] = -1
    frames[0, _CEILING] = ceiling
    frames[0, _PARENT] = -1
    frames[0, _PLACED] = -1
    frames[0, _POOL_TOP] = n
    trail = 0
    ranked = 0
    nodes = 0
    f = 0
    deepest = 0
    if not _stack_fits(pool, 0, n, 0, first, last, size, low, top, capacity, sections):
        return INFEASIBLE, nodes
    while True:
        # Undo whatever was placed since frame f began, then take its next candidate.
        for g in range(f, deepest + 1):
            b = frames[g, _PLACED]
            if b >= 0:
                for s in range(first[b], last[b] - 1):
                    crossing[s] += 1
                frames[g, _PLACED] = -1
        while trail > frames[f, _TRAIL]:
            trail -= 1
            low[trail_buffer[trail]] = trail_low[trail]
        while ranked > frames[f, _RANK_TRAIL]:
            ranked -= 1
            rank[ranked_buffer[ranked]] = ranked_rank[ranked]
        deepest = f
        frames[f, _CURSOR] += 1
        begin = frames[f, _START]
        count = frames[f, _COUNT]
        cursor = frames[f, _CURSOR]
        b = pool[begin + cursor] if cursor < count else -1
        if b < 0 or low[b] >= frames[f, _CEILING]:
            f = frames[f, _PARENT]
            if f < 0:
                return INFEASIBLE, nodes
            continue
        offset = low[b]
        if offset < frames[f, _LAST_OFFSET]:
            continue
        if offset == frames[f, _LAST_OFFSET] and rank[b] < frames[f, _LAST_RANK]:
            continue
        if nodes >= node_limit:
            return EXHAUSTED, nodes
        nodes += 1
        if offset > highest[b]:
            continue
        offsets[b] = offset

        # Raise what overlaps it; keep the open buffers sorted by (lowest offset, rank).
        end_b = offset + size[b]
        start = frames[f, _POOL_TOP]
        end = start
        raised = 0
        alive = True
        for q in range(begin, begin + count):
            j = pool[q]
            if j == b:
                continue
            if first[j] < last[b] and first[b] < last[j] and low[j] < end_b:
                trail_buffer[trail] = j
                trail_low[trail] = low[j]
                trail += 1
                low[j] = (end_b + alignment[j] - 1) // alignment[j] * alignment[j]
                if low[j] > highest[j]:
                    alive = False
                    break
                scratch[raised] = j
                raised += 1
            else:
                pool[end] = j
                end += 1
        if not alive:
            continue
        _sort_pool(scratch, 0, raised, low, rank)
        write = end + raised - 1
        a = end - 1
        k = raised - 1
        end += raised
        while k >= 0:
            x = scratch[k]
            if a >= start:
                y = pool[a]
                if low[y] > low[x] or (low[y] == low[x] and rank[y] > rank[x]):
                    pool[write] = y
                    a -= 1
                    write -= 1
                    continue
            pool[write] = x
            k -= 1
            write -= 1
        if not _stack_fits(
            pool, start, end, offset, first, last, size, low, top, capacity, sections
        ):
            continue

        # Open the parts that remain, the smallest first: it is the cheapest to refute.
        frames[f, _PLACED] = b
        cut = False
        for s in range(first[b], last[b] - 1):
            crossing[s] -= 1
            if crossing[s] == 0:
                cut = True
        table = frames[f, _PART_TOP]
        parts = 0
        pool_top = end
        if end > start and not cut:
            part_start[table] = start
            part_count[table] = end - start
            parts = 1
        elif end > start:
            left = sections
            right = 0
            for q in range(start, end):
                left = min(left, first[pool[q]])
                right = max(right, last[pool[q]])
            while left < right:
                border = left
                while border < right - 1 and crossing[border] > 0:
                    border += 1
                border += 1
                begin = pool_top
                for q in range(start, end):
                    j = pool[q]
                    if left <= first[j] < border:
                        pool[pool_top] = j
                        pool_top += 1
                left = border
                if pool_top == begin:
                    continue
                for q in range(begin, pool_top):
                    ranked_buffer[ranked] = pool[q]
                    ranked_rank[ranked] = rank[pool[q]]
                    ranked += 1
                _rerank(
                    pool,
                    begin,
                    pool_top,
                    first,
                    last,
                    size,
                    rank,
                    keys,
                    spec,
                    total,
                    section_sum,
                    scratch,
                )
                _sort_pool(pool, begin, pool_top, low, rank)
                k = table + parts
                while k > table and part_count[k - 1] > pool_top - begin:
                    part_start[k] = part_start[k - 1]
                    part_count[k] = part_count[k - 1]
                    k -= 1
                part_start[k] = begin
                part_count[k] = pool_top - begin
                parts += 1
        frames[f, _FIRST_PART] = table
        frames[f, _PARTS] = parts

        # Go on with the first of them, or where nothing is left with the next part of a parent.
        owner = f
        part = 0
        part_top = table + parts
        if parts == 0:
            owner = frames[f, _PARENT]
            part = frames[f, _PART] + 1
            while owner >= 0 and part >= frames[owner, _PARTS]:
                part = frames[owner, _PART] + 1
                owner = frames[owner, _PARENT]
            if owner < 0:
                return FOUND, nodes
        deepest += 1
        f = deepest
        index = frames[owner, _FIRST_PART] + part
        ceiling = _FAR
        for q in range(part_start[index], part_start[index] + part_count[index]):
            j = pool[q]
            ceiling = min(ceiling, low[j] + size[j])
        frames[f, _START] = part_start[index]
        frames[f, _COUNT] = part_count[index]
        frames[f, _CURSOR] = -1
        frames[f, _LAST_OFFSET] = offsets[frames[owner, _PLACED]]
        frames[f, _LAST_RANK] = -1
        if frames[owner, _PARTS] == 1 and not cut:
            frames[f, _LAST_RANK] = rank[frames[owner, _PLACED]]
        frames[f, _CEILING] = ceiling
        frames[f, _TRAIL] = trail
        frames[f, _RANK_TRAIL] = ranked
        frames[f, _PARENT] = owner
        frames[f, _PART] = part
        frames[f, _PLACED] = -1
        frames[f, _POOL_TOP] = pool_top
        frames[f, _PART_TOP] = part_top
