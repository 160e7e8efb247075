"""ZigZag: a dot grid that is fed from one SRAM, with and without registers for weights.

Its own 8 x 8 x 8 example has a port for every operand, so of that one only ideal cycles are
compared.
"""

from pathlib import Path

import numpy as np

from accelerator_sim.accelerator import Accelerator
from accelerator_sim.reference_engine import simulate
from egrl.validation.machines import machine
from egrl.validation.one_op import Product, layer_problem
from egrl.validation.result import Check, Point, Series, ToolResult
from egrl.validation.rows import Row, read_rows
from egrl.validation.statistics import relative_error, summarize
from graph_ir.errors import InputError

FILE = "zigzag_gemm.csv"
FILES = (FILE,)
COLUMNS = ("layer", "M", "N", "K", "hw", "ideal_cycles", "latency_total0_stall",
           "latency_total2_all")  # fmt: skip

GRIDS = {"ice_ds_": (4, 32, 32), "ice_wrf_ds_": (4, 32, 32), "gemm_l1_512mac": (8, 8, 8)}
"""Beginning of `hw` to the extents over M, N and K."""

WEIGHT_TILES = {"ice_ds_": 0, "ice_wrf_ds_": 8}
"""Weights that a multiplier keeps: none, or 8 registers of a byte."""

STALL_GOAL = 0.15

_PORT = """
[mac_array.operand_port]
bytes_per_cycle = {{ value = 512, source = "hw_desc of the rows: deep SRAM 512B/cyc" }}
weight_tiles = {weight_tiles}
accumulator_bytes = 4
"""

_DRAM = """
[[tiers]]
name = "DRAM"
scope = "shared"
capacity_bytes = { value = 1e18, assumed = true, reason = "without limit" }
read_bytes_per_s = { value = 67, source = "hw_desc of the rows: DRAM 67B/cyc" }
write_bytes_per_s = { value = 67, source = "hw_desc of the rows: DRAM 67B/cyc" }
latency_s = { value = 0, assumed = true, reason = "ZigZag does not use it" }
energy_j_per_byte = { value = 0, assumed = true, reason = "not compared" }
alignment_bytes = 1
"""


def validate(folder: Path) -> ToolResult:
    """Compare with all rows of the ICE-like machines.

    Raises:
        InputError: a row is wrong.
    """
    everything = read_rows(folder / FILE, COLUMNS)
    known = [row for row in everything if _family(row)]
    rows = [row for row in known if _family(row) in WEIGHT_TILES]
    if not rows:
        raise InputError(f"{folder / FILE}: expected rows of hw ice_*, got none")
    ideal = tuple(_point(row, "ideal_cycles", _ideal_cycles(row)) for row in known)
    stalled = tuple(_point(row, "latency_total0_stall", _array_cycles(row)) for row in rows)
    whole = tuple(
        _point(row, "latency_total2_all", _total_cycles(row))
        for row in rows
        if row.text("hw").endswith("_ds_dram")
    )
    left_out = len(everything) - len(known)
    return ToolResult(
        tool="ZigZag 3.9.1",
        about=(
            "Matrix products on a grid of 4 x 32 x 32 multipliers beside a deep SRAM of 512 bytes "
            "a cycle. Ideal cycles: the grid without an operand port, behind memory without "
            "limits; also of an array of 8 x 8 x 8. With stalls: the grid waiting for its operand "
            "port. With onload and offload: operands come from a DRAM of 67 bytes a cycle, results "
            "go there."
        ),
        checks=(*_ideal_checks(ideal), *_stall_checks(stalled)),
        series=(
            Series("ideal", "cycles", ideal),
            Series("with stalls", "cycles", stalled),
            *((Series("with onload and offload", "cycles", whole),) if whole else ()),
        ),
        notes=(
            *((f"{left_out:,} rows of other machines are left out.",) if left_out else ()),
            "With stalls, ZigZag's mapper takes the loop order, restricted to a few merged prime "
            "factors: it keeps 4 of 16 tiles of K in the weight registers (512 x 512 x 512) where "
            "8 fit, and 6 of 24; the cost model takes 8.",
            "With onload and offload is reported without a goal: ZigZag loads inputs (and, without "
            "weight registers, weights) before it computes; the engine overlaps them. Rows with "
            "the LLC are left out there, since it is slower (64 bytes a cycle) than the DRAM "
            "behind it (67), which no accelerator file may say.",
        ),
    )


def _family(row: Row) -> str | None:
    return next((name for name in GRIDS if row.text("hw").startswith(name)), None)


def _machine(row: Row, port: bool, dram: bool) -> Accelerator:
    family = _family(row)
    assert family is not None
    rows, columns, depth = GRIDS[family]
    values = (
        ("rows", rows),
        ("columns", columns),
        ("depth", depth),
        ("operand_port", _PORT.format(weight_tiles=WEIGHT_TILES[family]) if port else ""),
        ("dram", _DRAM if dram else ""),
        ("sram_bytes_per_cycle", 512 if port else 10**18),
        ("sram_bytes", 4 << 20 if dram else 10**18),
    )
    return machine("ice", values)


def _point(row: Row, column: str, predicted: float) -> Point:
    return Point(f"{row.text('layer')} {row.text('hw')}", row.positive(column), predicted)


def _cycles(row: Row, accelerator: Accelerator) -> float:
    product = Product(row.count("M"), row.count("N"), row.count("K"))
    problem = layer_problem(product, accelerator)
    timeline = simulate(problem, np.zeros(problem.tensor_count, np.int8).tolist())
    return timeline.latency_s * accelerator.clock_hz.value


def _ideal_cycles(row: Row) -> float:
    return _cycles(row, _machine(row, port=False, dram=False))


def _array_cycles(row: Row) -> float:
    return _cycles(row, _machine(row, port=True, dram=False))


def _total_cycles(row: Row) -> float:
    return _cycles(row, _machine(row, port=True, dram=True))


def _ideal_checks(points: tuple[Point, ...]) -> tuple[Check, ...]:
    equal = sum(point.predicted == point.reference for point in points)
    return (
        Check(
            f"ideal cycles, {len(points):,} rows",
            "all equal",
            f"{equal:,} of {len(points):,} equal",
            equal == len(points),
        ),
    )


def _stall_checks(points: tuple[Point, ...]) -> tuple[Check, ...]:
    summary = summarize(points)
    assert summary is not None
    within = sum(relative_error(point) <= STALL_GOAL for point in points)
    return (
        Check(
            f"cycles with stalls, {len(points):,} rows, mean error",
            f"at most {100 * STALL_GOAL:.0f} %",
            f"{100 * summary.mean_error:.1f} %",
            summary.mean_error <= STALL_GOAL,
        ),
        Check(
            f"cycles with stalls, {len(points):,} rows, each",
            f"all within {100 * STALL_GOAL:.0f} %",
            f"{within:,} of {len(points):,}, worst {100 * summary.worst_error:.1f} % "
            f"({summary.worst_name})",
            within == len(points),
        ),
    )
