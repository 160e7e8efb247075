"""Cycles of a dot grid that waits for its operand port, by hand and as properties."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accelerator_sim.cost.mac_array.dot_grid import dot_grid_cycles
from accelerator_sim.mac_array import DotGrid, OperandPort
from accelerator_sim.quantity import Quantity
from accelerator_sim.targets import load_target
from graph_ir.workload import MacWork


def grid(bytes_per_cycle=512, weight_tiles=0, accumulator_bytes=4):
    port = OperandPort(Quantity(bytes_per_cycle), weight_tiles, accumulator_bytes)
    return DotGrid(
        rows=4,
        columns=32,
        depth=32,
        full_rate_type="int8",
        relative_rate={},
        source="",
        operand_port=port,
    )


def product(m, n, k, batch=1):
    return MacWork(batch, m, k, n, left_type="int8", right_type="int8")


CASES = [
    # One step after the other: left factor 1 cycle, 1 KiB of weights 2 cycles; 24 results of one
    # row. Not counted: 2 cycles of first weights, 1 of the last result. 576 * 3 + 24 - 3.
    (product(1, 768, 768), grid(), 1749),
    # Weights stay for 256 rows of tiles (2 / 256 a step), sums pass both ways: better than 3 + 1/32
    # a step. 262144 * 3 + 2 * 1024 - 3.
    (product(1024, 1024, 1024), grid(), 788_477),
    # Eight tiles of K stay: sums pass twice for each 8 steps. 262144 * 10 / 8 + 2 * 1024 - 16 - 1.
    (product(1024, 1024, 1024), grid(weight_tiles=8), 329_711),
    # All of K stays: one result a step of 8. 4096 + 512 + 2 * 64 - 16 - 1.
    (product(256, 256, 256), grid(weight_tiles=8), 4719),
    # K in one step: four tiles of results leave at a time. 8 + 2 + 2 - 2 - 1.
    (product(32, 32, 32), grid(), 9),
    # Ten products: first weights and last results are the op's, not each product's.
    (product(32, 32, 32, batch=10), grid(), 10 * 12 - 3),
    # However wide the port, accesses take turns: 262144 + 1024 weights + 8192 results - 32 - 1.
    (product(1024, 1024, 1024), grid(1 << 20, weight_tiles=32), 271_327),
]


@pytest.mark.parametrize(("work", "array", "cycles"), CASES)
def test_by_hand(work, array, cycles):
    assert dot_grid_cycles(array, work, 1.0) == cycles


def test_depthwise_reads_a_left_factor_for_every_output():
    work = MacWork(64, 16, 9, 1, depthwise=True, left_type="int8", right_type="int8")
    # 4 x 2 tiles of 9 steps. A step reads 4 x 32 inputs in 8 accesses of 16 bytes; weights of 32
    # bytes (2 accesses) stay for 4 tiles, or sums of 128 outputs stay for 9 steps.
    steps, left, weights, results = 4 * 2 * 9, 8, 2, 8
    sums_stay = steps * left + steps * weights + 4 * 2 * results
    assert dot_grid_cycles(grid(16), work, 1.0) == sums_stay - weights - results


extents = st.integers(1, 400)
works = st.builds(
    MacWork, st.integers(1, 4), extents, extents, extents, st.just(1), st.booleans(),
    st.sampled_from(["int8", "fp16"]), st.sampled_from(["int4", "int8", "fp16"]),
)  # fmt: skip


@given(works, st.integers(1, 4096), st.integers(0, 40), st.sampled_from([0.125, 0.5, 1.0]))
def test_never_faster_than_without_a_port_and_never_slower_with_a_better_one(
    work, bytes_per_cycle, weight_tiles, rate
):
    array = grid(bytes_per_cycle, weight_tiles)
    free = dot_grid_cycles(_without(array), work, rate)
    cycles = dot_grid_cycles(array, work, rate)
    assert cycles >= free
    assert dot_grid_cycles(grid(2 * bytes_per_cycle, weight_tiles), work, rate) <= cycles
    assert dot_grid_cycles(grid(bytes_per_cycle, weight_tiles + 1), work, rate) <= cycles


@given(works)
def test_more_work_is_never_faster(work):
    array = grid(256, 4)
    cycles = dot_grid_cycles(array, work, 1.0)
    for more in (
        replace(work, rows=work.rows + 4),
        replace(work, inner=work.inner + 32),
        replace(work, columns=work.columns + 32),
        replace(work, batch=work.batch + 1),
    ):
        assert dot_grid_cycles(array, more, 1.0) >= cycles


def _without(array):
    return DotGrid(
        rows=array.rows,
        columns=array.columns,
        depth=array.depth,
        full_rate_type="int8",
        relative_rate={},
        source="",
    )


def test_nnp_i_has_no_port():
    assert load_target("nnp-i").mac_array.operand_port is None
