"""Tiles: cycles fold by fold, and sequences that leave nothing out and read nothing for free."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accelerator_sim.detailed import IDEAL
from accelerator_sim.detailed.array_tiles import tile_cycles
from accelerator_sim.detailed.sharing import sharings_of
from accelerator_sim.detailed.tiling import tilings_of
from accelerator_sim.mac_array import DotGrid, OutputStationary, WeightStationary
from graph_ir.errors import InputError
from graph_ir.workload import MacWork, Role, Split
from tests.accelerator_sim.machines import quantity
from tests.accelerator_sim.toy import op, reading, toy, writing

RATES = {"int8*int8": quantity(1.0), "int8*int4": quantity(0.5)}
GRID = DotGrid(
    rows=8, columns=4, depth=4, full_rate_type="int8", relative_rate=RATES, source="a test"
)


def product(rows: int, inner: int, columns: int, batch: int = 1, right: str = "int8") -> MacWork:
    return MacWork(batch, rows, inner, columns, left_type="int8", right_type=right)


def test_a_grid_counts_edge_tiles_in_full():
    assert tile_cycles(GRID, product(9, 5, 5), 9, 5) == 2 * 2 * 2
    assert tile_cycles(GRID, product(8, 4, 4), 8, 4) == 1
    # Half the depth at half the rate.
    assert tile_cycles(GRID, product(9, 5, 5, right="int4"), 9, 5) == 2 * 2 * 3


def test_systolic_arrays_follow_the_published_closed_forms():
    shared = {"rows": 8, "columns": 4, "full_rate_type": "int8", "relative_rate": RATES}
    weight = WeightStationary(**shared, weight_double_buffer=False, source="a test")
    # SCALE-Sim: cd(K,R) cd(N,C) (2R + C + M - 2), and cd(M,R) cd(N,C) (R + C + K - 2).
    assert tile_cycles(weight, product(20, 9, 5), 20, 5) == 2 * 2 * (16 + 4 + 20 - 2)
    output = OutputStationary(**shared, source="a test")
    assert tile_cycles(output, product(20, 9, 5), 20, 5) == 3 * 2 * (8 + 4 + 9 - 2)


def test_depthwise_channels_share_a_systolic_array_by_its_rows():
    array = WeightStationary(
        rows=8, columns=4, full_rate_type="int8", relative_rate=RATES, source="a test",
        weight_double_buffer=True,
    )  # fmt: skip
    work = MacWork(10, 20, 3, 1, depthwise=True, left_type="int8", right_type="int8")
    # Two channels of three taps fit eight rows: five folds of 20 rows.
    assert tile_cycles(array, work, 20, 10) == 5 * 20 + 8 + 4 - 2


def test_a_pair_without_a_rate_is_refused():
    with pytest.raises(InputError, match=r"no rate for int8\*fp16; it has int8\*int4, int8\*int8"):
        tile_cycles(GRID, product(1, 1, 1, right="fp16"), 1, 1)


@given(
    rows=st.integers(1, 200), inner=st.integers(1, 64), columns=st.integers(1, 200),
    batch=st.integers(1, 3), buffer=st.sampled_from([256, 2048, 1 << 20]),
    cores=st.sampled_from([1, 3]),
)  # fmt: skip
def test_every_sequence_does_all_the_work(rows, inner, columns, batch, buffer, cores):
    work = product(rows, inner, columns, batch)
    left, right = batch * rows * inner, batch * inner * columns
    operands = [reading(0, left, Role.LEFT), reading(1, right, Role.RIGHT)]
    operands.append(writing(2, batch * rows * columns))
    multiply = op("a", operands, 5, (work,), rows, columns)
    machine = toy(cores=cores, tile_buffer_bytes=buffer, mac_array=GRID)
    for sharing in sharings_of(multiply, cores):
        divided = sharing.active if sharing.split is not Split.NONE else 1
        core = (left / divided, right / divided, (left + right) / divided)
        (part,) = sharing.works
        least = part.batch * tile_cycles(GRID, part, part.rows, part.columns)
        for tiling in tilings_of(multiply, sharing, core, 0.0, machine, IDEAL):
            assert len(tiling.steps) <= IDEAL.max_steps
            assert sum(step.work for step in tiling.steps) == pytest.approx(1.0)
            assert sum(step.left for step in tiling.steps) >= 1.0 - 1e-9
            assert sum(step.right for step in tiling.steps) >= 1.0 - 1e-9
            assert sum(step.mac_cycles for step in tiling.steps) >= least * (1 - 1e-9)


def test_what_fits_the_buffer_is_read_once():
    work = product(64, 16, 64)
    operands = [reading(0, 1024, Role.LEFT), reading(1, 1024, Role.RIGHT), writing(2, 4096)]
    multiply = op("a", operands, 0, (work,), 64, 64)
    machine = toy(tile_buffer_bytes=1 << 16, mac_array=GRID)
    (sharing,) = sharings_of(multiply, 1)
    for tiling in tilings_of(multiply, sharing, (1024.0, 1024.0, 6144.0), 0.0, machine, IDEAL):
        assert sum(step.left for step in tiling.steps) == pytest.approx(1.0)
        assert sum(step.right for step in tiling.steps) == pytest.approx(1.0)


def test_what_does_not_fit_is_read_again():
    # No way to read 4 KiB of each through 64 B of buffer once.
    work = product(64, 64, 64)
    operands = [reading(0, 4096, Role.LEFT), reading(1, 4096, Role.RIGHT), writing(2, 4096)]
    multiply = op("a", operands, 0, (work,), 64, 64)
    (sharing,) = sharings_of(multiply, 1)
    machine = toy(tile_buffer_bytes=64, mac_array=GRID)
    for tiling in tilings_of(multiply, sharing, (4096.0, 4096.0, 12288.0), 0.0, machine, IDEAL):
        assert sum(step.left + step.right for step in tiling.steps) > 3.0
