"""Three ops on a toy machine, second by second.

One core, a vector operation a second, half a second to launch an op. OUT reads and writes 10 B/s
and is 1 s away; IN reads and writes 1000 B/s at once. One op ahead may be fetched.

| op | computes | reads | writes | streams |
|---|---|---|---|---|
| first  | 8 s | input, 10 B of OUT | a, 100 B in IN | |
| second | 2 s | a | b, 100 B in IN | v, 60 B of OUT: 6 s |
| third  | 1 s | b; u, 50 B in IN | output, 20 B to OUT: 2 s | w, 30 B of OUT: 3 s |
"""

import numpy as np
import pytest

from accelerator_sim.engine import evaluate
from accelerator_sim.problem import PlacementProblem, build_problem
from accelerator_sim.reference_engine import live_bytes, simulate
from accelerator_sim.timeline import Timeline
from graph_ir.workload import MacWork, Operand, Role, Split, TensorKind
from tests.accelerator_sim.machines import tier
from tests.accelerator_sim.test_mac_array import array
from tests.accelerator_sim.toy import op, reading, tensor, toy, workload, writing

OUT, IN = 0, 1
HOMES = [OUT, IN, IN, OUT, OUT, OUT, IN]


def three_ops(ring_bytes: int) -> PlacementProblem:
    target = toy(
        [
            tier("OUT", read=10, write=10, latency=1.0, energy=3.0),
            tier("IN", read=1000, write=1000, energy=0.5),
        ],
        launch_overhead_s=0.5,
        ring_bytes=ring_bytes,
        port=1e9,
        interconnect=1e9,
    )
    tensors = [
        tensor("input", TensorKind.IO, 10, 0, 1),
        tensor("a", TensorKind.ACTIVATION, 100, 0, 2),
        tensor("b", TensorKind.ACTIVATION, 100, 1, 3),
        tensor("output", TensorKind.IO, 20, 2, 3),
        tensor("v", TensorKind.WEIGHT, 60, 0, 3),
        tensor("w", TensorKind.WEIGHT, 30, 0, 3),
        tensor("u", TensorKind.WEIGHT, 50, 0, 3),
    ]
    ops = [
        op("first", [reading(0, 10), writing(1, 100)], 8),
        op("second", [reading(1, 100), reading(4, 60), writing(2, 100)], 2),
        op("third", [reading(2, 100), reading(5, 30), reading(6, 50), writing(3, 20)], 1),
    ]
    return build_problem(workload(ops, tensors), target)


def simulated(problem: PlacementProblem) -> Timeline:
    timeline = simulate(problem, HOMES)
    latency_s, overflow = evaluate(problem, np.array(HOMES, np.int8))
    assert latency_s == pytest.approx(timeline.latency_s, rel=1e-12)
    assert overflow == 0
    return timeline


def test_a_small_ring() -> None:
    """Room for 20 bytes.

    first: 8 s of work; the input's 1 s on OUT passes behind it. To launch takes 0.5 s, to wait
    for the input's first byte 1 s: 9.5 s. Meanwhile v is fetched. Of its 6 s, 2 s can pass behind
    the second op's own work, so 4 s are wanted; the ring holds 20 bytes, which is 2 s.
    second: 4 s of v are left, 2 s more than it computes: with the launch 4.5 s, a stall of 2 s.
    The ring is full until it has ended, so w cannot be fetched.
    third: OUT is busy 2 s with the output and 3 s with w, 1 s after which w begins to come:
    5 + 0.5 + 1 = 6.5 s, 3 s of them a stall, since without w OUT is the bottleneck with 2 s.
    """
    timeline = simulated(three_ops(20))
    assert [o.end_s for o in timeline.ops] == pytest.approx([9.5, 14.0, 20.5])
    assert [o.fill_s for o in timeline.ops] == pytest.approx([1.5, 0.5, 1.5])
    assert [o.stall_s for o in timeline.ops] == pytest.approx([0, 2, 3])
    assert [o.stall_tensor for o in timeline.ops] == ["", "v", "w"]
    assert [o.bound for o in timeline.ops] == ["vector", "OUT", "OUT"]
    assert timeline.latency_s == pytest.approx(20.5)
    moved = [(t.tensor, t.for_op, t.during_op, t.first_byte, t.size_bytes)
             for t in timeline.transfers]  # fmt: skip
    assert moved == [("v", 1, 0, 0, 20), ("v", 1, 1, 20, 40), ("w", 2, 2, 0, 30)]
    # While the first op runs, OUT is free 8.5 of 9.5 s: 2 s of v take 2 * 9.5 / 8.5 s.
    assert timeline.transfers[0].end_s == pytest.approx(2 * 9.5 / 8.5)


def test_a_large_ring() -> None:
    """Room for all.

    first: as before, and 4 s of v are fetched.
    second: the 2 s that are left pass behind its work: 2.5 s. OUT is free for 0.5 s of them, which
    bring 5 bytes of w.
    third: 2 s of output and 2.5 s of w; what came does not cover the second that OUT is away:
    4.5 + 0.5 + 1 = 6 s.
    """
    timeline = simulated(three_ops(100))
    assert [o.end_s for o in timeline.ops] == pytest.approx([9.5, 12.0, 18.0])
    assert [o.stall_s for o in timeline.ops] == pytest.approx([0, 0, 2.5])
    assert [o.stall_tensor for o in timeline.ops] == ["", "", "w"]


def test_cold_latency_is_longer_by_the_load() -> None:
    """u's 50 bytes come from OUT at 10 B/s; IN takes them faster."""
    timeline = simulated(three_ops(20))
    assert timeline.cold_latency_s == pytest.approx(20.5 + 5)


def test_energy() -> None:
    """2 W for 20.5 s; 11 vector operations of 1 J; bytes of OUT at 3 J, of IN at 0.5 J.

    OUT: input 10, v 60, w 30, output 20. IN: a and b written and read, v and w written to the ring
    and read from it, u read.
    """
    out_bytes = 10 + 60 + 30 + 20
    in_bytes = 2 * 100 + 2 * 100 + 2 * 60 + 2 * 30 + 50
    expected = 2 * 20.5 + 11 + 3 * out_bytes + 0.5 * in_bytes
    assert simulated(three_ops(20)).energy_j == pytest.approx(expected)


def test_what_each_tier_did() -> None:
    outer, inner = simulated(three_ops(20)).tiers
    assert (outer.read_bytes, outer.written_bytes) == (10 + 60 + 30, 20)
    assert (inner.read_bytes, inner.written_bytes) == (100 + 60 + 100 + 30 + 50, 200)
    assert outer.busy_fraction == pytest.approx(12 / 20.5)
    # v, w in OUT always, input and output in turn; a and b overlap at the second op, u is always
    # there, and so is the ring with its two slices of 10 bytes.
    assert live_bytes(three_ops(20), HOMES) == [[100, 150], [90, 250], [110, 150]]
    assert (outer.peak_bytes, inner.peak_bytes) == (110, 250 + 40)


def test_nothing_streams_from_the_innermost_tier() -> None:
    homes = [OUT, IN, IN, OUT, IN, IN, IN]
    timeline = simulate(three_ops(20), homes)
    assert timeline.transfers == ()
    # 8 + 1.5; 2 + 0.5; 2 (the output) + 0.5.
    assert [o.end_s for o in timeline.ops] == pytest.approx([9.5, 12.0, 14.5])
    assert timeline.tiers[1].peak_bytes == 250 + 60 + 30


def test_overflow_counts_the_ring() -> None:
    """IN holds 250 bytes at the second op, and 40 of staging as soon as something streams."""
    base = three_ops(20)
    for capacity, homes, over in (
        (290, HOMES, 0),
        (289, HOMES, 1),
        (340, [OUT, IN, IN, OUT, IN, IN, IN], 0),
        (339, [OUT, IN, IN, OUT, IN, IN, IN], 1),
    ):
        tiers = [
            base.accelerator.tiers[0],
            tier("IN", capacity=capacity, read=100, write=100),
        ]
        target = toy(tiers)
        problem = build_problem(base.workload, target)
        assert evaluate(problem, np.array(homes, np.int8))[1] == over


def test_the_best_split_for_the_homes_is_taken() -> None:
    """Two cores, a product of 8 x 1 x 8 on one cell each: 32 s by rows or by columns.

    The left factor (400 B) and the right (40 B) are in OUT, ports draw 5 B/s. By rows a core draws
    200 + 40 bytes: 48 s; by columns 400 + 20: 84 s.
    """
    work = (MacWork(1, 8, 1, 8, left_type="int8", right_type="int8"),)
    target = toy(
        [tier("OUT", read=1e6, write=1e6)],
        cores=2,
        port=5,
        mac_array=array("dot-grid", 1, 1),
    )
    for left, right, split in ((400, 40, "rows"), (40, 400, "columns")):
        tensors = [
            tensor("left", TensorKind.IO, left, 0, 1),
            tensor("right", TensorKind.IO, right, 0, 1),
            tensor("output", TensorKind.IO, 0, 0, 1),
        ]
        operands = [
            Operand(0, Role.LEFT, left, (Split.ROWS,)),
            Operand(1, Role.RIGHT, right, (Split.COLUMNS,)),
            writing(2, 0),
        ]
        product = op("op", operands, work=work, rows=8, columns=8)
        timeline = simulate(build_problem(workload([product], tensors), target), [0, 0, 0])
        assert timeline.ops[0].split == split
        assert timeline.ops[0].mac_s == 32
        assert timeline.latency_s == pytest.approx((200 + 40) / 5)
        assert timeline.ops[0].bound == "port"
        # 64 products in 48 s on two cells.
        assert timeline.ops[0].utilization == pytest.approx(64 / 96)


def test_stored_bytes_follow_channels_and_alignment() -> None:
    """3 channels are stored as 16, rounded up to 64 bytes; weights stay packed."""
    from dataclasses import replace

    from msgspec.structs import replace as replace_struct

    target = replace_struct(
        toy([tier("OUT", alignment=64), tier("IN", "per-core", alignment=64)], cores=3),
        layout_channels=16,
    )
    picture = replace(tensor("input", TensorKind.IO, 3 * 50, 0, 1), shape=(50, 3), channels=3)
    weight = replace(tensor("w", TensorKind.WEIGHT, 3 * 50, 0, 1), shape=(50, 3), channels=3)
    tensors = [picture, weight, tensor("output", TensorKind.IO, 1, 0, 1)]
    ops = [op("op", [reading(0, 150), reading(1, 150), writing(2, 1)], 1)]
    problem = build_problem(workload(ops, tensors), target)
    assert problem.arrays.size_bytes_TH[:, 0].tolist() == [832, 192, 64]
    assert problem.stored_ratio_T.tolist() == pytest.approx([16 / 3, 1, 1])
