"""SCALE-Sim: compute cycles of systolic arrays, in the mode without hidden preload.

Its rows count stalls into `total_cycles`; what the array itself takes is the difference.
"""

from pathlib import Path

import numpy as np

from accelerator_sim.accelerator import Accelerator
from accelerator_sim.engine import evaluate
from egrl.validation.machines import machine
from egrl.validation.one_op import Convolution, Layer, Product, layer_problem
from egrl.validation.result import Check, Point, Series, ToolResult
from egrl.validation.rows import Row, read_rows

LAYERS_FILE = "scalesim_v3_layers.csv"
TABLE_FILE = "llmcompass_scalesim_lut.csv"
FILES = (LAYERS_FILE, TABLE_FILE)

LAYER_COLUMNS = (
    "layer", "kind", "M", "N", "K", "ifmap_h_padded", "ifmap_w_padded", "kh", "kw", "cin", "cout",
    "stride", "rows", "cols", "dataflow", "mode", "total_cycles", "stall_cycles",
)  # fmt: skip
TABLE_COLUMNS = ("M", "N", "K", "rows", "cols", "dataflow", "cycles")

DATAFLOWS = {"ws": "weight-stationary", "os": "output-stationary", "is": "input-stationary"}


def validate(folder: Path) -> ToolResult:
    """Compare with all rows of both files.

    Raises:
        InputError: a row is wrong.
    """
    layers = tuple(layer_point(row) for row in read_rows(folder / LAYERS_FILE, LAYER_COLUMNS))
    table = tuple(table_point(row) for row in read_rows(folder / TABLE_FILE, TABLE_COLUMNS))
    return ToolResult(
        tool="SCALE-Sim 3.0.0, and version 2 through the tables of LLMCompass",
        about=(
            "Cycles of weight-, output- and input-stationary arrays, stalls taken off, against "
            "the latency of a one-op graph on an array of the row's size behind memory without "
            "limits; the preload of weights is not hidden."
        ),
        checks=(
            _exact("SCALE-Sim v3, compute cycles", layers),
            _exact("LLMCompass table, compute cycles", table),
        ),
        series=(
            Series("SCALE-Sim v3", "cycles", layers),
            Series("LLMCompass table", "cycles", table),
        ),
        notes=(),
    )


def layer_point(row: Row) -> Point:
    """One row of SCALE-Sim v3: a convolution or a matrix product."""
    accelerator = array_of(row)
    name = f"{row.text('layer')} {row.text('dataflow')} {row.text('rows')}x{row.text('cols')}"
    reference = row.number("total_cycles") - row.number("stall_cycles")
    if row.text("kind") == "conv":
        return Point(name, reference, cycles(convolution_of(row), accelerator))
    return Point(name, reference, cycles(product_of(row), accelerator))


def table_point(row: Row) -> Point:
    """One row of the LLMCompass table."""
    name = "x".join(row.text(column) for column in ("M", "N", "K"))
    name += f" {row.text('dataflow')} {row.text('rows')}x{row.text('cols')}"
    return Point(name, row.positive("cycles"), cycles(product_of(row), array_of(row)))


def array_of(row: Row) -> Accelerator:
    """The array that a row names."""
    dataflow = DATAFLOWS[row.choice("dataflow", tuple(DATAFLOWS))]
    more = "weight_double_buffer = false" if dataflow == "weight-stationary" else ""
    sizes = (("rows", row.count("rows")), ("columns", row.count("cols")))
    return machine("systolic", (("dataflow", dataflow), *sizes, ("more", more)))


def product_of(row: Row) -> Product:
    """The matrix product that a row names."""
    return Product(row.count("M"), row.count("N"), row.count("K"))


def convolution_of(row: Row) -> Convolution:
    """The convolution that a row names; its input is padded already."""
    layer = Convolution(
        height=row.count("ifmap_h_padded"),
        width=row.count("ifmap_w_padded"),
        channels=row.count("cin"),
        filters=row.count("cout"),
        kernel_height=row.count("kh"),
        kernel_width=row.count("kw"),
        stride_height=row.count("stride"),
        stride_width=row.count("stride"),
    )
    for column, extent in zip(("kh", "kw"), layer.output_extents, strict=True):
        if extent < 1:
            raise row.wrong(column, "a filter that fits into the padded input")
    return layer


def cycles(layer: Layer, accelerator: Accelerator) -> float:
    """Latency of the layer in cycles."""
    problem = layer_problem(layer, accelerator)
    homes_T = np.zeros(problem.tensor_count, np.int8)
    return evaluate(problem, homes_T)[0] * accelerator.clock_hz.value


def _exact(text: str, points: tuple[Point, ...]) -> Check:
    equal = sum(point.predicted == point.reference for point in points)
    measured = f"{equal:,} of {len(points):,} equal"
    return Check(f"{text}, {len(points):,} rows", "all equal", measured, equal == len(points))
