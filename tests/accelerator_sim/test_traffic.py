"""What one operand asks of the memories: every home, split and role, worked out by hand.

Four cores; the operand has 120 bytes, so that a core's share is 30; its overlap with a neighbour
(rows only) is 6. The outer tier reads 10 B/s, a port draws 20 B/s.
"""

from dataclasses import dataclass

import pytest

from accelerator_sim.accelerator import Accelerator, Home
from accelerator_sim.cost.traffic import OperandUse, operand_use, resource_seconds
from accelerator_sim.cost.variants import Variant, variants_of
from graph_ir.workload import MacWork, Operand, Role, Split, TensorKind
from tests.accelerator_sim.machines import tier
from tests.accelerator_sim.toy import BOTH, op, reading, toy, writing

ACTIVATION, WEIGHT, SCRATCH = TensorKind.ACTIVATION, TensorKind.WEIGHT, TensorKind.SCRATCH
OUT, SHARED = Home(0, "shared"), Home(1, "shared")
REPLICATED, PARTITIONED = Home(1, "replicated"), Home(1, "partitioned")
CORES = 4


def machine(multicast: bool = True, scope: str = "per-core") -> Accelerator:
    inner = tier("IN", "per-core" if scope == "per-core" else "shared", read=100, write=50)
    return toy([tier("OUT", read=10, write=5), inner], cores=CORES, multicast=multicast)


def use(
    kind: TensorKind,
    role: Role,
    home: Home,
    split: Split,
    split_by: tuple[Split, ...],
    *,
    halo: int = 0,
    passes: int = 1,
    on: Accelerator | None = None,
    active: int = CORES,
    ratio: float = 1.0,
    traffic: int = 120,
) -> OperandUse:
    operand = Operand(0, role, traffic, split_by, halo)
    cores = 1 if split is Split.NONE else active
    variant = Variant(split, cores, "single-pass", (passes,), 0.0, 0.0, 0.0)
    return operand_use(operand, kind, home, variant, passes, on or machine(), ratio)


@dataclass(frozen=True)
class Asked:
    """Bytes of outer and inner tier, interconnect and port; what streams, and its ring."""

    read: tuple[float, float] = (0, 0)
    written: tuple[float, float] = (0, 0)
    interconnect: float = 0
    port: float = 0
    stream: float = 0
    stream_s: float = 0
    ring: float = 0


def check(got: OperandUse, want: Asked) -> None:
    assert got.read_bytes == pytest.approx(want.read)
    assert got.written_bytes == pytest.approx(want.written)
    assert got.interconnect_bytes == pytest.approx(want.interconnect)
    assert got.port_bytes == pytest.approx(want.port)
    assert got.stream_bytes == pytest.approx(want.stream)
    assert got.stream_s == pytest.approx(want.stream_s)
    assert got.ring_bytes == pytest.approx(want.ring)
    assert (got.stream_tier >= 0) == (want.stream > 0)


ROWS, COLUMNS, NONE = Split.ROWS, Split.COLUMNS, Split.NONE
LEFT, OTHER, OUTPUT = Role.LEFT, Role.OTHER, Role.OUTPUT


def test_reading_a_shared_tier() -> None:
    # Split or whole, every byte leaves the tier once; a port draws the core's part of them.
    check(use(ACTIVATION, LEFT, OUT, ROWS, (ROWS,)), Asked(read=(120, 0), port=30))
    check(use(ACTIVATION, LEFT, OUT, ROWS, (ROWS,), halo=6), Asked(read=(120, 0), port=36))
    check(use(ACTIVATION, LEFT, OUT, COLUMNS, (ROWS,)), Asked(read=(120, 0), port=120))
    check(use(ACTIVATION, LEFT, OUT, NONE, (ROWS,)), Asked(read=(120, 0), port=120))
    check(use(ACTIVATION, LEFT, OUT, ROWS, (ROWS,), passes=3), Asked(read=(360, 0), port=90))
    # The overlap is only for rows, and never more than the whole.
    check(use(ACTIVATION, OTHER, OUT, COLUMNS, BOTH, halo=6), Asked(read=(120, 0), port=30))
    check(use(ACTIVATION, LEFT, OUT, ROWS, BOTH, halo=999), Asked(read=(120, 0), port=120))


def test_reading_a_shared_tier_without_multicast() -> None:
    on = machine(multicast=False)
    check(use(ACTIVATION, LEFT, OUT, ROWS, (ROWS,), on=on), Asked(read=(120, 0), port=30))
    # Three borders of 6 bytes are read twice.
    check(use(ACTIVATION, LEFT, OUT, ROWS, BOTH, halo=6, on=on), Asked(read=(138, 0), port=36))
    check(use(ACTIVATION, LEFT, OUT, ROWS, BOTH, halo=999, on=on), Asked(read=(480, 0), port=120))
    check(use(ACTIVATION, LEFT, OUT, COLUMNS, (ROWS,), on=on), Asked(read=(480, 0), port=120))
    check(use(ACTIVATION, LEFT, OUT, NONE, (ROWS,), on=on), Asked(read=(120, 0), port=120))


def test_writing_a_shared_tier() -> None:
    check(use(ACTIVATION, OUTPUT, OUT, ROWS, BOTH), Asked(written=(120, 0), port=30))
    check(use(ACTIVATION, OUTPUT, OUT, NONE, BOTH), Asked(written=(120, 0), port=120))
    # What is stored with padded channels is more.
    want = Asked(written=(180, 0), port=45)
    check(use(ACTIVATION, OUTPUT, OUT, ROWS, BOTH, ratio=1.5), want)


def test_replicated() -> None:
    check(use(ACTIVATION, LEFT, REPLICATED, ROWS, (ROWS,), halo=6), Asked(read=(0, 36)))
    check(use(ACTIVATION, LEFT, REPLICATED, COLUMNS, (ROWS,)), Asked(read=(0, 120)))
    check(use(WEIGHT, Role.RIGHT, REPLICATED, COLUMNS, (COLUMNS,)), Asked(read=(0, 30)))
    # Every core keeps all of it: all shares go to all cores, once where the link multicasts.
    want = Asked(written=(0, 120), interconnect=120, port=90)
    check(use(ACTIVATION, OUTPUT, REPLICATED, ROWS, BOTH), want)
    want = Asked(written=(0, 120), interconnect=360, port=90)
    check(use(ACTIVATION, OUTPUT, REPLICATED, ROWS, BOTH, on=machine(False)), want)
    alone = toy([tier("OUT"), tier("IN", "per-core")], cores=1)
    want = Asked(written=(0, 120))
    check(use(ACTIVATION, OUTPUT, REPLICATED, NONE, BOTH, on=alone), want)


def test_partitioned_as_the_op_is_split() -> None:
    """Activations are cut by rows, weights and states by columns."""
    check(use(ACTIVATION, LEFT, PARTITIONED, ROWS, (ROWS,)), Asked(read=(0, 30)))
    # Each core needs 6 bytes of a neighbour; there are three borders.
    want = Asked(read=(0, 36), interconnect=18, port=6)
    check(use(ACTIVATION, LEFT, PARTITIONED, ROWS, (ROWS,), halo=6), want)
    check(use(ACTIVATION, OUTPUT, PARTITIONED, ROWS, BOTH), Asked(written=(0, 30)))
    check(use(WEIGHT, Role.RIGHT, PARTITIONED, COLUMNS, (COLUMNS,)), Asked(read=(0, 30)))
    check(use(TensorKind.STATE, OTHER, PARTITIONED, COLUMNS, BOTH), Asked(read=(0, 30)))


def test_partitioned_otherwise_pays_the_exchange() -> None:
    # Of 120 bytes, 90 lie on other cores; a core that needs its 30 has a quarter of them.
    want = Asked(read=(0, 30), interconnect=90, port=22.5)
    check(use(ACTIVATION, OTHER, PARTITIONED, COLUMNS, BOTH), want)
    want = Asked(written=(0, 30), interconnect=90, port=22.5)
    check(use(ACTIVATION, OUTPUT, PARTITIONED, COLUMNS, BOTH), want)
    # Who needs it whole draws the other three shares.
    want = Asked(read=(0, 30), interconnect=90, port=90)
    check(use(ACTIVATION, LEFT, PARTITIONED, COLUMNS, (ROWS,)), want)
    check(use(WEIGHT, Role.RIGHT, PARTITIONED, ROWS, (COLUMNS,)), want)
    check(use(ACTIVATION, LEFT, PARTITIONED, NONE, (ROWS,)), want)
    want = Asked(read=(0, 120), interconnect=360, port=90)
    check(use(WEIGHT, Role.RIGHT, PARTITIONED, ROWS, (COLUMNS,), on=machine(False)), want)
    # An op of two rows gives two cores 60 bytes each; that is no cut in four.
    want = Asked(read=(0, 30), interconnect=90, port=45)
    check(use(ACTIVATION, LEFT, PARTITIONED, ROWS, (ROWS,), active=2), want)


def test_scratch_is_written_and_read() -> None:
    want = Asked(read=(120, 0), written=(120, 0), port=60)
    check(use(SCRATCH, Role.SCRATCH, OUT, COLUMNS, BOTH), want)
    want = Asked(read=(0, 30), written=(0, 30))
    check(use(SCRATCH, Role.SCRATCH, REPLICATED, COLUMNS, BOTH), want)
    # However its op is split, a core's part of it is its own.
    check(use(SCRATCH, Role.SCRATCH, PARTITIONED, COLUMNS, BOTH), want)
    check(use(SCRATCH, Role.SCRATCH, PARTITIONED, ROWS, BOTH), want)


def test_streams_into_the_ring_of_every_core() -> None:
    # 120 bytes leave the outer tier in 12 s; each core's port takes 1.5 s for its 30.
    want = Asked(read=(0, 30), stream=120, stream_s=12, ring=30)
    check(use(WEIGHT, Role.RIGHT, OUT, COLUMNS, (COLUMNS,)), want)
    # All cores get all of it.
    want = Asked(read=(0, 120), stream=120, stream_s=12, ring=120)
    check(use(WEIGHT, Role.RIGHT, OUT, ROWS, (COLUMNS,)), want)
    want = Asked(read=(0, 120), stream=480, stream_s=48, ring=120)
    check(use(WEIGHT, Role.RIGHT, OUT, ROWS, (COLUMNS,), on=machine(False)), want)
    want = Asked(read=(0, 90), stream=360, stream_s=36, ring=90)
    check(use(WEIGHT, Role.RIGHT, OUT, COLUMNS, (COLUMNS,), passes=3), want)
    # A fast outer tier waits for the port: 120 bytes at 20 B/s.
    fast = toy([tier("OUT", read=1000), tier("IN", "per-core")], cores=CORES)
    want = Asked(read=(0, 120), stream=120, stream_s=6, ring=120)
    check(use(WEIGHT, Role.RIGHT, OUT, ROWS, (COLUMNS,), on=fast), want)


def test_streams_into_a_shared_ring() -> None:
    on = machine(scope="shared")
    want = Asked(read=(0, 120), port=30, stream=120, stream_s=12, ring=120)
    check(use(WEIGHT, Role.RIGHT, OUT, COLUMNS, (COLUMNS,), on=on), want)
    one_by_one = machine(False, scope="shared")
    want = Asked(read=(0, 480), port=120, stream=120, stream_s=12, ring=120)
    check(use(WEIGHT, Role.RIGHT, OUT, ROWS, (COLUMNS,), on=one_by_one), want)


def test_streams_from_a_memory_of_each_core() -> None:
    on = toy(
        [tier("OUT"), tier("MID", "per-core", read=10), tier("IN", "per-core")], cores=CORES
    )  # fmt: skip
    got = use(WEIGHT, Role.RIGHT, Home(1, "replicated"), COLUMNS, (COLUMNS,), on=on)
    assert (got.stream_tier, got.stream_bytes, got.stream_s, got.ring_bytes) == (1, 30, 3, 30)
    assert (got.read_bytes, got.port_bytes) == ((0, 0, 30), 0)


def test_weights_of_the_innermost_tier_and_what_is_written_do_not_stream() -> None:
    shared = machine(scope="shared")
    want = Asked(read=(0, 120), port=30)
    check(use(WEIGHT, Role.RIGHT, SHARED, COLUMNS, (COLUMNS,), on=shared), want)
    check(use(TensorKind.STATE, OUTPUT, OUT, ROWS, BOTH), Asked(written=(120, 0), port=30))
    check(use(TensorKind.IO, OTHER, OUT, ROWS, BOTH), Asked(read=(120, 0), port=30))


def test_seconds_of_each_resource() -> None:
    got = OperandUse((20, 0), (10, 50), 80, 5, -1, 0, 0, 0, 1)
    assert resource_seconds(got, machine()) == (20 / 10 + 10 / 5, 50 / 50, 80 / 40, 5 / 20)


def matmul(left: int, right: int, rows: int, columns: int, batch: int = 1) -> object:
    work = (MacWork(batch, rows, 1, columns, left_type="int8", right_type="int8"),)
    operands = [
        Operand(0, Role.LEFT, left, (ROWS,)),
        Operand(1, Role.RIGHT, right, (COLUMNS,)),
        writing(2, 1),
    ]
    return op("op", operands, work=work, rows=rows, columns=columns)


def loop_orders(target: Accelerator, of: object) -> list[tuple[str, str, tuple[int, ...]]]:
    return [(str(v.split), v.loop_order, v.passes) for v in variants_of(of, target)]  # type: ignore[arg-type]


def test_what_does_not_fit_the_tile_buffer_is_read_again() -> None:
    """Half of 100 bytes holds a tile: 120 bytes are 3 tiles, 200 are 4."""
    target = toy(tile_buffer_bytes=100)
    assert loop_orders(target, matmul(120, 200, 1, 1)) == [
        ("none", "left-held", (1, 3, 1)),
        ("none", "right-held", (4, 1, 1)),
    ]
    assert loop_orders(target, matmul(50, 9999, 1, 1)) == [("none", "single-pass", (1, 1, 1))]
    assert loop_orders(target, matmul(9999, 50, 1, 1)) == [("none", "single-pass", (1, 1, 1))]
    # Four products of 30 and 50 bytes each.
    assert loop_orders(target, matmul(120, 200, 1, 1, 4)) == [("none", "single-pass", (1, 1, 1))]
    # An op without products passes its operands by once.
    plain = op("op", [reading(0, 9999), reading(1, 9999), writing(2, 1)], 1)
    assert loop_orders(target, plain) == [("none", "single-pass", (1, 1, 1))]


def test_splits_share_out_what_must_be_held() -> None:
    target = toy(tile_buffer_bytes=100, cores=4)
    assert loop_orders(target, matmul(240, 240, 8, 8)) == [
        ("rows", "left-held", (1, 2, 1)),  # 60 bytes of the left factor each, all of the right
        ("rows", "right-held", (5, 1, 1)),
        ("columns", "left-held", (1, 5, 1)),
        ("columns", "right-held", (2, 1, 1)),
    ]
    # One row cannot be split, two columns keep two cores busy: 120 bytes each.
    assert loop_orders(target, matmul(240, 240, 1, 2)) == [
        ("columns", "left-held", (1, 5, 1)),
        ("columns", "right-held", (3, 1, 1)),
    ]
    assert [v.cores for v in variants_of(matmul(240, 240, 1, 2), target)] == [2, 2]  # type: ignore[arg-type]
    assert loop_orders(target, matmul(40, 40, 1, 1)) == [("none", "single-pass", (1, 1, 1))]


def test_the_vector_unit_is_shared_by_cores_with_work() -> None:
    target = toy(cores=4)
    many = op("op", [reading(0, 1), writing(1, 1)], 120, rows=12, columns=3)
    assert [(str(v.split), v.vector_s) for v in variants_of(many, target)] == [
        ("rows", 30.0),
        ("columns", 40.0),
    ]
