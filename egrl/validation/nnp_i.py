"""Silicon: the MLPerf throughput of Intel's NNP-I on ResNet-50.

The clock is not published; the two stated peaks, 48 and 92 TOPS, give 0.49 and 0.94 GHz. So the
simulator gives an interval, and nothing is fitted.
"""

from dataclasses import dataclass
from pathlib import Path

import msgspec

from accelerator_sim.accelerator import Accelerator
from accelerator_sim.problem import build_problem
from accelerator_sim.quantity import Quantity
from accelerator_sim.targets import load_target
from accelerator_sim.throughput import grouped
from egrl.bench.model_index import models_folder
from egrl.budget import parse_budget
from egrl.placement import place
from egrl.validation.result import Check, ToolResult
from egrl.validation.rows import read_rows
from graph_ir.errors import InputError
from graph_ir.load import load_model
from graph_ir.lower import lower
from graph_ir.passes.pipeline import run_lossless
from graph_ir.workload import Workload

FILE = "anchors.csv"
FILES = (FILE,)
COLUMNS = ("id", "workload", "metric", "value", "unit")
MODEL = "resnet50"
ANCHOR = "nnpi_rn50_offline"
CHIPS = 2
"""The published system has two."""

TARGET = "nnp-i"
PRECISION = "int8"
ICES = 12
PEAKS_OPS_PER_S = {"48 TOPS": 48e12, "92 TOPS": 92e12}
GROUPS = (12, 6, 3)
"""Inferences at a time: one on each ICE, on two, on four."""

BUDGET = "2000ev"
SHEET_W = (10.0, 50.0)
"""Power of the data sheet, at the lower and at the higher peak."""


@dataclass(frozen=True, slots=True)
class Mode:
    """One clock and one number of groups, simulated.

    Attributes:
        label: for people.
        throughput: inferences a second of one chip.
        power_w: of one chip.
    """

    label: str
    throughput: float
    power_w: float


def validate(folder: Path) -> ToolResult:
    """Simulate ResNet-50 at both clocks and in all modes.

    Raises:
        InputError: the model is not built, or the published figure is missing.
    """
    published = _published(folder) / CHIPS
    workload = lowered(models_folder() / f"{MODEL}.onnx")
    target = load_target(TARGET)
    modes = {
        peak: [simulate_mode(workload, target, peak, groups) for groups in GROUPS]
        for peak in PEAKS_OPS_PER_S
    }
    slow, fast = (max(mode.throughput for mode in found) for found in modes.values())
    best = [max(found, key=lambda mode: mode.throughput) for found in modes.values()]
    everything = [mode for found in modes.values() for mode in found]
    return ToolResult(
        tool="Intel NNP-I 1000, MLPerf Inference v0.5",
        about=(
            f"ResNet-50 in {PRECISION} on the target `{TARGET}` in throughput mode: independent "
            f"inferences on groups of cores, placed by `auto` with {BUDGET[:-2]} evaluations. The "
            "published figure, offline, is of two chips. The clock is not published; 48 and 92 "
            "TOPS, which the vendor states, give 0.49 and 0.94 GHz, and so an interval."
        ),
        checks=(
            Check(
                "images a second of one chip, best mode at each clock",
                f"the published {published:,.0f} lies inside",
                f"{slow:,.0f} to {fast:,.0f}",
                slow <= published <= fast,
            ),
            Check(
                "power in these modes",
                f"inside the data sheet's {SHEET_W[0]:.0f} to {SHEET_W[1]:.0f} W",
                " and ".join(f"{mode.power_w:.1f} W" for mode in best),
                all(SHEET_W[0] <= mode.power_w <= SHEET_W[1] for mode in best),
            ),
        ),
        series=(),
        notes=(
            *(
                f"{mode.label}: {mode.throughput:,.0f} images a second, {mode.power_w:.1f} W."
                for mode in everything
            ),
            "The energies of the target are assumed values of its process class, so power is a "
            "check of their sum, not of each.",
        ),
    )


def lowered(path: Path) -> Workload:
    """A model as `egrl compile` lowers it for the target."""
    model = load_model(path)
    run_lossless(model.graph_model)
    streamed = frozenset(load_target(TARGET).streamed_views)
    return lower(model, "main", PRECISION, streamed).workload


def simulate_mode(
    workload: Workload, target: Accelerator, peak: str, groups: int, budget: str = BUDGET
) -> Mode:
    """Throughput of one chip with its cores in groups, at the clock that a peak implies."""
    array = target.mac_array
    assert array is not None
    clock_hz = PEAKS_OPS_PER_S[peak] / (2 * ICES * array.macs_per_cycle)
    chip = msgspec.structs.replace(
        grouped(target, groups),
        clock_hz=Quantity(clock_hz, source=f"{peak} over 12 ICEs of 4096 MAC"),
        published_peak=None,
    )
    placed = place(build_problem(workload, chip), "auto", parse_budget(budget), seed=0)
    latency_s = placed.timeline.latency_s
    return Mode(
        f"{groups} x {chip.core_count} ICE at {clock_hz / 1e9:.2f} GHz",
        groups / latency_s,
        groups * placed.timeline.energy_j / latency_s,
    )


def _published(folder: Path) -> float:
    for row in read_rows(folder / FILE, COLUMNS):
        if row.text("id") == ANCHOR:
            return row.positive("value")
    raise InputError(f"{folder / FILE}: expected a row with id {ANCHOR}, got none")
