"""ONNXim: a weight-stationary array that hides the preload of its weights, with its DRAM.

Its totals hold what a closed form cannot know (when tiles arrive), so large layers are judged and
all are shown.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np

from accelerator_sim.accelerator import Accelerator
from accelerator_sim.engine import evaluate
from egrl.validation.machines import machine
from egrl.validation.one_op import Convolution, Layer, Product, layer_problem
from egrl.validation.result import Check, Point, Series, ToolResult
from egrl.validation.rows import Row, read_rows
from egrl.validation.statistics import summarize

FILE = "onnxim_layers.csv"
FILES = (FILE,)
COLUMNS = (
    "layer", "kind", "M", "N", "K", "ih", "iw", "k", "cin", "cout", "stride", "config", "array",
    "cores", "spad_kb", "accum_kb", "precision_bytes", "core_mhz", "dram_gbs", "total_cycles",
)  # fmt: skip

LARGE_CYCLES = 100_000
GOAL = 0.10
DATA_TYPES = {"1": "int8", "2": "fp16", "4": "fp32"}


def validate(folder: Path) -> ToolResult:
    """Compare with all rows.

    Raises:
        InputError: a row is wrong.
    """
    points = tuple(layer_point(row) for row in read_rows(folder / FILE, COLUMNS))
    large = tuple(point for point in points if point.reference > LARGE_CYCLES)
    return ToolResult(
        tool="ONNXim",
        about=(
            "Total cycles of matrix products and convolutions on arrays of 8 x 8 to 128 x 128 "
            "cells with `weight_double_buffer`, a scratchpad and a DRAM, against the latency of a "
            "one-op graph whose operands come from that DRAM and whose result goes there."
        ),
        checks=_checks(points, large),
        series=(Series("all rows", "cycles", points),),
        notes=(
            "Small layers are predicted too short: ONNXim loads the first tiles before it computes "
            "and stores the last ones afterwards, the engine overlaps all of them.",
            "Some convolutions take up to a fifth longer in ONNXim, also when its memory is idle; "
            "the rows do not say how it cut them into tiles, and in the cost model all pixels of a "
            "layer follow each other.",
        ),
    )


def _checks(points: tuple[Point, ...], large: tuple[Point, ...]) -> tuple[Check, ...]:
    checks = []
    of_large, of_all = summarize(large), summarize(points)
    if of_large is not None:
        checks.append(
            Check(
                f"total cycles, {len(large):,} rows over {LARGE_CYCLES:,} cycles, mean error",
                f"at most {100 * GOAL:.0f} %",
                f"{100 * of_large.mean_error:.1f} % (worst {100 * of_large.worst_error:.1f} %, "
                f"{of_large.worst_name})",
                of_large.mean_error <= GOAL,
            )
        )
    if of_all is not None:
        checks.append(
            Check(
                f"total cycles, all {len(points):,} rows, mean error",
                "reported",
                f"{100 * of_all.mean_error:.1f} % (worst {100 * of_all.worst_error:.1f} %, "
                f"{of_all.worst_name})",
                True,
            )
        )
    return tuple(checks)


def layer_point(row: Row) -> Point:
    """One row."""
    accelerator = array_of(row)
    problem = layer_problem(layer_of(row), accelerator)
    seconds, _ = evaluate(problem, np.zeros(problem.tensor_count, np.int8))
    name = f"{row.text('layer')} {row.text('config')}"
    return Point(name, row.positive("total_cycles"), seconds * accelerator.clock_hz.value)


def array_of(row: Row) -> Accelerator:
    """The machine that a row names."""
    rows, times, columns = row.text("array").partition("x")
    if not (times and rows.isdecimal() and columns.isdecimal()):
        raise row.wrong("array", "rows x columns")
    data_type = DATA_TYPES[row.choice("precision_bytes", tuple(DATA_TYPES))]
    spad_bytes = row.count("spad_kb") * 1024
    values = (
        ("rows", int(rows)),
        ("columns", int(columns)),
        ("cores", row.count("cores")),
        ("spad_bytes", spad_bytes),
        ("inner_bytes", spad_bytes + row.count("accum_kb") * 1024),
        ("data_type", data_type),
        ("core_mhz", row.positive("core_mhz")),
        ("dram_gbs", row.positive("dram_gbs")),
    )
    return machine("onnxim", values)


def layer_of(row: Row) -> Layer:
    """The layer that a row names; a convolution is padded so that it has M output pixels."""
    if row.choice("kind", ("gemm", "conv", "fc")) != "conv":
        return Product(row.count("M"), row.count("N"), row.count("K"))
    kernel = row.count("k")
    unpadded = Convolution(
        height=row.count("ih"),
        width=row.count("iw") if row.text("iw") else row.count("ih"),
        channels=row.count("cin"),
        filters=row.count("cout"),
        kernel_height=kernel,
        kernel_width=kernel,
        stride_height=row.count("stride"),
        stride_width=row.count("stride"),
    )
    for pad in range(kernel):
        padded = replace(unpadded, pads=(pad, pad, pad, pad))
        if padded.output_pixels == row.count("M"):
            return padded
    raise row.wrong("M", "the output pixels of the convolution under some padding")
