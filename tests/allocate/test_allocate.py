from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelerator_sim.allocate import Buffer, allocate, allocate_arrays
from accelerator_sim.allocate.csv_format import read_problem
from accelerator_sim.allocate.lowest import lowest_found
from tests.allocate.strategies import buffer_lists, fits, full_lists, most_live, overlapping

DATA = Path(__file__).parent.parent / "data" / "minimalloc"
MIB = 1 << 20
TOY = [
    Buffer("b1", 0, 3, 4),
    Buffer("b2", 3, 9, 4),
    Buffer("b3", 0, 9, 4),
    Buffer("b4", 9, 21, 4),
    Buffer("b5", 0, 21, 4),
]


def check_sound(buffers: Sequence[Buffer], offsets: Sequence[int], height: int) -> None:
    assert len(offsets) == len(buffers)
    assert overlapping(buffers, offsets) == []
    for buffer, offset in zip(buffers, offsets, strict=True):
        assert offset >= 0
        assert offset % buffer.alignment_bytes == 0
    ends = [o + b.size_bytes for b, o in zip(buffers, offsets, strict=True) if b.size_bytes]
    assert height == max(ends, default=0)


@given(buffer_lists(alignments=(1, 2, 4, 64)), st.integers(0, 3000))
def test_offsets_are_sound_whether_they_fit_or_not(buffers: list[Buffer], capacity: int) -> None:
    result = allocate(buffers, capacity, node_budget=3000)
    check_sound(buffers, result.offsets, result.height_bytes)
    assert result.feasible == (result.height_bytes <= capacity)
    assert result.lower_bound_bytes <= result.height_bytes
    assert not (result.feasible and result.exhausted)
    if not result.feasible and not result.exhausted:
        assert result.lower_bound_bytes > capacity


@settings(max_examples=150)
@given(
    buffer_lists(most=6, largest=7, alignments=(1, 2, 3, 4), times=5, whole_time=False),
    st.integers(-1, 4),
)
def test_search_is_exact(buffers: list[Buffer], slack: int) -> None:
    capacity = max(0, most_live(buffers) + slack)
    result = allocate(buffers, capacity, node_budget=100_000)
    assert not result.exhausted
    assert result.feasible == fits(buffers, capacity)


@settings(max_examples=300)
@given(full_lists(), st.sampled_from((1, 8)), st.integers(0, 1))
def test_search_is_exact_where_nothing_is_free(
    problem: tuple[list[Buffer], int], unit: int, slack: int
) -> None:
    buffers, capacity = problem
    scaled = [replace(b, size_bytes=b.size_bytes * unit, alignment_bytes=unit) for b in buffers]
    result = allocate(scaled, (capacity + slack) * unit, node_budget=100_000)
    assert not result.exhausted
    assert result.feasible == fits(buffers, capacity + slack)


def test_toy_of_the_minimalloc_readme() -> None:
    result = allocate(TOY, 12)
    assert result.feasible
    assert result.height_bytes == result.lower_bound_bytes == 12
    assert overlapping(TOY, [8, 8, 4, 4, 0]) == []
    check_sound(TOY, result.offsets, 12)
    tight = allocate(TOY, 11)
    assert (tight.feasible, tight.exhausted, tight.lower_bound_bytes) == (False, False, 12)


def test_infeasible_though_never_more_than_the_capacity_is_live() -> None:
    rows = [
        (0, 1, 6), (1, 2, 2), (0, 3, 1), (2, 3, 1), (1, 4, 4), (3, 4, 2), (2, 5, 1), (4, 5, 1),
        (4, 5, 5),
    ]  # fmt: skip
    buffers = [Buffer(f"b{i}", *row) for i, row in enumerate(rows)]
    assert most_live(buffers) == 7
    assert not fits(buffers, 7)
    result = allocate(buffers, 7)
    assert (result.feasible, result.exhausted) == (False, False)
    assert result.lower_bound_bytes == 8
    assert result.nodes > 0
    assert allocate(buffers, 7, node_budget=1).exhausted
    assert allocate(buffers, 8).feasible


@pytest.mark.parametrize(
    ("name", "node_budget"),
    [("A", 70_000), ("C", 20_000), ("G", 210_000), ("I", 60_000), ("K", 50_000)],
)
def test_challenging_instances(name: str, node_budget: int) -> None:
    buffers = read_problem(DATA / f"{name}.1048576.csv")
    result = allocate(buffers, MIB, node_budget)
    assert result.feasible
    check_sound(buffers, result.offsets, result.height_bytes)


@pytest.mark.slow
def test_hardest_instance() -> None:
    buffers = read_problem(DATA / "E.1048576.csv")
    result = allocate(buffers, MIB, 1_200_000)
    assert result.feasible
    check_sound(buffers, result.offsets, result.height_bytes)


def test_budget_is_counted_in_nodes() -> None:
    buffers = read_problem(DATA / "E.1048576.csv")
    result = allocate(buffers, MIB, 5000)
    assert (result.feasible, result.exhausted, result.nodes) == (False, True, 5000)
    check_sound(buffers, result.offsets, result.height_bytes)
    assert allocate(buffers, MIB, 0).nodes == 0


def test_lower_packing_than_the_greedy_one() -> None:
    buffers = read_problem(DATA / "G.1048576.csv")
    greedy = allocate(buffers, MIB, 0)
    better = lowest_found(buffers, greedy, MIB, 60_000)
    assert MIB < better.height_bytes < greedy.height_bytes
    assert (better.feasible, better.exhausted) == (False, True)
    check_sound(buffers, better.offsets, better.height_bytes)


@given(buffer_lists(alignments=(1, 16)))
def test_same_buffers_same_offsets(buffers: list[Buffer]) -> None:
    assert allocate(buffers, 700, 500) == allocate(list(buffers), 700, 500)


def test_whole_time_buffers_lie_at_the_bottom_of_a_tight_memory() -> None:
    weights = [Buffer(f"w{i}", 0, 50, 64 * (i + 1), 64) for i in range(40)]
    acts = [Buffer(f"a{i}", i, min(50, i + 3), 64 * (1 + i * 7 % 5), 64) for i in range(50)]
    buffers = [b for pair in zip(acts, weights, strict=False) for b in pair] + acts[40:]
    live = most_live(buffers)
    result = allocate(buffers, live)
    assert result.feasible
    assert result.height_bytes == live
    check_sound(buffers, result.offsets, live)


def test_last_bytes_of_a_capacity_that_alignment_does_not_divide() -> None:
    buffers = [Buffer("whole", 0, 4, 100, 64), Buffer("part", 1, 3, 128, 64)]
    # 100 bytes on top of 128 end at 228; the other way round they would end at 256.
    result = allocate(buffers, 228)
    assert result.feasible
    assert result.offsets == (128, 0)
    assert not allocate(buffers, 227).feasible


def test_empty_and_zero() -> None:
    assert allocate([], 0).feasible
    only = allocate([Buffer("z", 0, 5, 0, 64), Buffer("a", 0, 5, 3)], 3)
    assert (only.feasible, only.offsets) == (True, (0, 0))


def test_huge_capacity_and_sizes() -> None:
    buffers = [Buffer("a", 0, 2, 1 << 58), Buffer("b", 1, 3, 1 << 58)]
    assert allocate(buffers, 1 << 200).feasible
    with pytest.raises(ValueError, match="in all"):
        allocate([*buffers, Buffer("c", 0, 1, 1 << 59)], 1 << 200)


@pytest.mark.parametrize(
    "buffer", [Buffer("x", 3, 3, 1), Buffer("x", 0, 1, -1), Buffer("x", 0, 1, 1, 0)]
)
def test_impossible_buffers_are_refused(buffer: Buffer) -> None:
    with pytest.raises(ValueError, match="x"):
        allocate([buffer], 10)


def test_many_buffers() -> None:
    rng = np.random.default_rng(3)
    lower = np.sort(rng.integers(0, 2000, 5000))
    upper = lower + rng.integers(1, 9, 5000)
    size = rng.integers(1, 5000, 5000)
    result = allocate_arrays(lower, upper, size, np.full(5000, 64), 1 << 40)
    buffers = [
        Buffer(str(i), int(a), int(b), int(s), 64)
        for i, (a, b, s) in enumerate(zip(lower, upper, size, strict=True))
    ]
    assert result.feasible
    placed = sorted(zip(buffers, result.offsets, strict=True), key=lambda pair: pair[0].lower)
    for at, (a, p) in enumerate(placed):
        for b, q in placed[max(0, at - 200) : at]:
            if a.lower < b.upper:
                assert p >= q + b.size_bytes or q >= p + a.size_bytes
