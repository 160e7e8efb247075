"""Cycles of the matrix unit, against closed forms worked out by hand and published simulators."""

from typing import Literal

import msgspec
import pytest

from accelerator_sim.cost.mac_array import array_cycles
from accelerator_sim.cost.variants import core_work
from accelerator_sim.mac_array import MacArray
from graph_ir.errors import InputError
from graph_ir.workload import MacWork, Split
from tests.accelerator_sim.machines import quantity

Dataflow = Literal["dot-grid", "weight-stationary", "output-stationary", "input-stationary"]


RATES = {
    "int8*int8": quantity(1.0),
    "fp16*fp16": quantity(0.5),
    "fp32*fp32": quantity(0.125),
}


def array(
    dataflow: Dataflow, rows: int, columns: int, depth: int = 1, double: bool = False
) -> MacArray:
    given = {"rows": rows, "columns": columns, "full_rate_type": "int8", "source": "a test"}
    if dataflow == "dot-grid":
        given["depth"] = depth
    if dataflow == "weight-stationary":
        given["weight_double_buffer"] = double
    return msgspec.convert({"dataflow": dataflow, "relative_rate": RATES, **given}, MacArray)


def product(m: int, k: int, n: int, data_type: str = "int8", batch: int = 1) -> MacWork:
    return MacWork(batch, m, k, n, left_type=data_type, right_type=data_type)


# Rows of SCALE-Sim 3.0.0 (compute cycles, without stalls): array side, M, K, N, cycles.
SCALE_SIM: list[tuple[Dataflow, int, int, int, int, int]] = [
    ("weight-stationary", 32, 128, 128, 64, 1775),
    ("weight-stationary", 32, 1, 768, 768, 54719),
    ("weight-stationary", 32, 784, 1152, 128, 126431),
    ("weight-stationary", 128, 3136, 64, 64, 3517),
    ("output-stationary", 32, 100, 59, 77, 1451),
    ("output-stationary", 32, 384, 64, 384, 18143),
    ("output-stationary", 128, 196, 1024, 256, 5111),
    ("input-stationary", 128, 16, 16, 16, 397),
    ("input-stationary", 128, 196, 256, 1024, 5623),
]


@pytest.mark.parametrize(("dataflow", "side", "m", "k", "n", "cycles"), SCALE_SIM)
def test_systolic_arrays_are_scale_sims(
    dataflow: Dataflow, side: int, m: int, k: int, n: int, cycles: int
) -> None:
    assert array_cycles(array(dataflow, side, side), product(m, k, n)) == cycles


def test_systolic_array_that_is_not_square() -> None:
    # K = 10 over 4 rows: 3 folds; N = 7 over 6 columns: 2; each 2*4 + 6 + 5 - 2 = 17 cycles.
    assert array_cycles(array("weight-stationary", 4, 6), product(5, 10, 7)) == 3 * 2 * 17 - 1
    # M = 5 over 4 rows: 2; N = 7 over 6: 2; each 4 + 6 + 10 - 2 = 18.
    assert array_cycles(array("output-stationary", 4, 6), product(5, 10, 7)) == 2 * 2 * 18 - 1
    # K = 10 over 4: 3; M = 5 over 6: 1; each 2*4 + 6 + 7 - 2 = 19.
    assert array_cycles(array("input-stationary", 4, 6), product(5, 10, 7)) == 3 * 1 * 19 - 1


def test_hidden_weight_preload() -> None:
    """A fold lasts max(M, rows) cycles; a convolution is lowered position by position."""
    double = array("weight-stationary", 4, 4, double=True)
    # 9 positions x ceil(8 / 4) x ceil(4 / 4) = 18 folds of 10 cycles, then 4 + 4 - 2 to drain.
    conv = MacWork(1, 10, 72, 4, kernel_positions=9, left_type="int8", right_type="int8")
    assert array_cycles(double, conv) == 18 * 10 + 6
    # M = 1: the next weights need 4 cycles to load, whatever M is.
    assert array_cycles(double, product(1, 8, 8)) == 2 * 2 * 4 + 6


def test_dot_grid() -> None:
    grid = array("dot-grid", 4, 4, depth=2)
    # ceil(5 / 4) x ceil(5 / 4) tiles, each ceil(5 / 2) cycles.
    assert array_cycles(grid, product(5, 5, 5)) == 2 * 2 * 3
    # Half rate: one product of each output a cycle. An eighth: a quarter of one.
    assert array_cycles(grid, product(5, 5, 5, "fp16")) == 2 * 2 * 5
    assert array_cycles(grid, product(5, 5, 5, "fp32")) == 2 * 2 * 20
    assert array_cycles(grid, product(5, 5, 5, batch=3)) == 3 * 2 * 2 * 3


def test_channels_are_a_staircase() -> None:
    """16 to 17 channels is a step, 17 to 32 is none."""
    grid = array("dot-grid", 4, 16, depth=8)
    cycles = [array_cycles(grid, product(64, 64, n)) for n in range(1, 34)]
    assert cycles[0] == cycles[15] == 16 * 8
    assert cycles[16] == cycles[31] == 2 * 16 * 8
    assert cycles[32] == 3 * 16 * 8


def test_one_row_wastes_the_grid() -> None:
    grid = array("dot-grid", 32, 32, depth=4)
    assert array_cycles(grid, product(1, 1024, 1024)) == 32 * 256
    assert array_cycles(grid, product(32, 1024, 1024)) == 32 * 256


def test_depthwise() -> None:
    """No input channels to reduce over: depth is wasted, channels take the columns."""
    grid = array("dot-grid", 4, 4, depth=2)
    work = MacWork(8, 5, 9, 1, depthwise=True, left_type="int8", right_type="int8")
    assert array_cycles(grid, work) == 2 * 2 * 9
    grouped = MacWork(8, 5, 9, 1, left_type="int8", right_type="int8")
    assert array_cycles(grid, grouped) == 8 * 2 * 1 * 5


def test_unknown_types_are_refused() -> None:
    with pytest.raises(InputError, match=r"no rate for int4\*int4; it has fp16\*fp16, fp32"):
        array_cycles(array("dot-grid", 4, 4), product(1, 1, 1, "int4"))


def test_work_of_the_busiest_core() -> None:
    work = product(10, 6, 9, batch=1)
    assert core_work(work, Split.ROWS, 4).rows == 3
    assert core_work(work, Split.COLUMNS, 4).columns == 3
    assert core_work(work, Split.NONE, 1) == work
    heads = product(10, 6, 9, batch=8)
    assert core_work(heads, Split.COLUMNS, 3) == product(10, 6, 9, batch=3)
    # Two groups on five cores: two cores each, which share its nine columns.
    groups = product(10, 6, 9, batch=2)
    assert core_work(groups, Split.COLUMNS, 5) == product(10, 6, 5, batch=1)


def test_a_depthwise_convolution_is_block_diagonal_on_a_systolic_array() -> None:
    """Ten channels of nine taps on columns for four: three blocks of 36 x 4."""
    work = MacWork(
        10, 5, 9, 1, kernel_positions=9, depthwise=True, left_type="int8", right_type="int8"
    )
    block = product(5, 36, 4)
    plain = array("weight-stationary", 4, 4)
    assert array_cycles(plain, work) == 3 * array_cycles(plain, block)
    # Position by position, each a diagonal of 4 x 4: nine folds.
    double = array("weight-stationary", 4, 4, double=True)
    assert array_cycles(double, work) == 3 * (9 * 5 + 6)
    few = MacWork(
        3, 5, 9, 1, kernel_positions=9, depthwise=True, left_type="int8", right_type="int8"
    )
    assert array_cycles(plain, few) == array_cycles(plain, product(5, 27, 3))
