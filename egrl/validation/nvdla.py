"""NVDLA's performance spreadsheet: cycles of the array, and what a layer waits for.

The sheet takes the largest of the cycles of every memory and of the array, with and without a
second memory. A row becomes one op whose tensors live where the sheet has them
(`nvdla_sheet.py`); cycles and bound are the engine's.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from math import ceil
from pathlib import Path

from accelerator_sim.engine import evaluate
from accelerator_sim.problem import build_problem
from accelerator_sim.reference_engine import simulate
from egrl.validation.nvdla_row import in_network, is_pooled, layer_of, machine_of, types_of
from egrl.validation.nvdla_sheet import (
    FIRST_GROUP,
    NETWORKS,
    POOLED,
    Options,
    Stay,
    options,
    stay,
)
from egrl.validation.result import Check, Point, Series, ToolResult
from egrl.validation.rows import Row, read_rows

ROWS_FILE = "nvdla_spreadsheet_per_layer.csv"
FILES = (ROWS_FILE,)

COLUMNS = (
    "network", "layer", "attr", "C", "H", "W", "K", "R", "S", "zero_pad", "stride_h", "stride_w",
    "pool", "feat_bytes", "wt_bytes", "cbuf_kb", "macs_per_cycle", "clock_mhz", "sram_rd_gbs",
    "sram_wr_gbs", "dram_gbs", "fc_batch", "withsram_dram_cycles", "withsram_sram_rd_cycles",
    "withsram_sram_wr_cycles", "withsram_mac_cycles", "withsram_max_cycles", "nosram_dram_cycles",
    "nosram_mac_cycles", "nosram_max_cycles",
)  # fmt: skip

CONFIGURATION = (
    "network", "layer", "feat_bytes", "wt_bytes", "cbuf_kb", "macs_per_cycle", "clock_mhz",
    "sram_rd_gbs", "sram_wr_gbs", "dram_gbs", "fc_batch",
)  # fmt: skip

# Column of the sheet to what the engine calls the same unit.
UNITS: dict[bool, dict[str, str]] = {
    True: {
        "withsram_mac_cycles": "mac",
        "withsram_dram_cycles": "DRAM",
        "withsram_sram_rd_cycles": "SRAM",
        "withsram_sram_wr_cycles": "SRAM write",
    },
    False: {"nosram_mac_cycles": "mac", "nosram_dram_cycles": "DRAM"},
}


@dataclass(frozen=True, slots=True)
class Comparison:
    """A row in one of its two halves.

    Attributes:
        second_memory: which half.
        mac: cycles of the array, per image; None where the sheet leaves them out.
        bound: cycles that the layer takes, per image; None likewise.
        kinds: units that the sheet finds busy for that long.
        kind: the engine's.
    """

    second_memory: bool
    mac: Point | None
    bound: Point | None
    kinds: tuple[str, ...]
    kind: str

    @property
    def agrees(self) -> bool:
        """Bound and its kind are the same."""
        return self.bound is not None and _equal(self.bound) and self.kind in self.kinds


def validate(folder: Path) -> ToolResult:
    """Compare with all rows.

    Raises:
        InputError: a row is wrong.
    """
    halves = list(compare_all(read_rows(folder / ROWS_FILE, COLUMNS)))
    macs = tuple(half.mac for half in halves if half.mac is not None)
    bounded = [half for half in halves if half.bound is not None]
    equal = sum(_equal(point) for point in macs)
    same = sum(half.agrees for half in bounded)
    kinds = sum(half.kind in half.kinds for half in bounded)
    return ToolResult(
        tool="NVDLA performance spreadsheet, nvdla/hw @80ca0a52",
        about=(
            "Every layer with DRAM alone and with a second memory: cycles of the array, and the "
            "cycles of whatever is busy longest (the array, DRAM, or a port of the second "
            "memory), against a one-op graph on the sheet's accelerator, its tensors where the "
            "sheet has them."
        ),
        checks=(
            Check(
                f"Cycles of the array, {len(macs):,} cells",
                "all equal",
                f"{equal:,} of {len(macs):,} equal",
                equal == len(macs),
            ),
            Check(
                f"The bound in cycles and its kind, {len(bounded):,} cells",
                "at least 99 % the same",
                f"{same:,} of {len(bounded):,} the same ({same / max(1, len(bounded)):.2%}); "
                f"the kind alone in {kinds:,}",
                same >= 0.99 * len(bounded),
            ),
        ),
        series=(
            Series("NVDLA, DRAM alone", "cycles", _bounds(bounded, False)),
            Series("NVDLA, second memory", "cycles", _bounds(bounded, True)),
        ),
        notes=(
            "The sheet does not treat its networks alike: only ResNet-50 rounds output channels "
            "to 128 (without the second memory) and keeps features where they are smaller than "
            "the weights, AlexNet reads everything once, and GoogLeNet counts transformed weights "
            "up to inception 3a.",
            "With the second memory the sheet leaves the addend of ResNet-50's residual layers "
            "out of its traffic, so it is left out here too; with DRAM alone it counts the addend "
            "of the last one, which is pooled, at the size of the pooled output, which is kept.",
            *_differences(bounded),
        ),
    )


def compare_all(rows: Iterable[Row]) -> Iterator[Comparison]:
    """Both halves of all rows.

    Raises:
        InputError: a cell is wrong.
    """
    seen: set[tuple[str, ...]] = set()
    for row in rows:
        key = tuple(row.text(column) for column in CONFIGURATION)
        yield compare(row, False)
        yield compare(row, True, key not in seen)
        seen.add(key)


def compare(row: Row, second_memory: bool, first: bool = True) -> Comparison:
    """One half of a row.

    Args:
        row: the row.
        second_memory: which half.
        first: of the rows that the layer has in its configuration, one for each group.

    Raises:
        InputError: a cell is wrong.
    """
    units = UNITS[second_memory]
    mac_column, max_column = next(iter(units)), "withsram_max_cycles"
    if not second_memory:
        max_column = "nosram_max_cycles"
    network, layer = row.choice("network", NETWORKS), row.text("layer")
    is_fc, fc_batch = row.text("attr") == "fc", row.count("fc_batch")
    types = types_of(row)
    chosen = options(network, layer, second_memory)
    where = Stay("DRAM", "DRAM", "DRAM", fc_batch if is_fc else 1)
    if second_memory:
        where = stay(network, layer, is_fc, types, fc_batch)
        if first and (network, layer) == FIRST_GROUP:
            where = replace(where, images=min(where.images, fc_batch))
        chosen = replace(chosen, images_apart=where.staged)
    kind = "+ SRAM" if second_memory else "DRAM alone"
    name = f"{network} {layer}, {kind}"
    computed_mac, computed, unit = 0.0, 0.0, ""
    if row.text(mac_column) or row.text(max_column):
        computed_mac, computed, unit = cycles(row, chosen, where, second_memory)
        if is_fc and where.images != fc_batch:
            at_batch = replace(where, images=fc_batch)
            computed_mac = cycles(row, chosen, at_batch, second_memory)[0]
    mac = bound = None
    kinds: tuple[str, ...] = ()
    if row.text(mac_column):
        mac = Point(name, row.number(mac_column), computed_mac)
    if row.text(max_column):
        bound = Point(name, row.number(max_column), computed)
        kinds = tuple(units[column] for column in units if row.number(column) == bound.reference)
    return Comparison(second_memory, mac, bound, kinds, unit)


def cycles(row: Row, chosen: Options, where: Stay, second_memory: bool) -> tuple[float, float, str]:
    """Cycles of the array and of the layer, per image, and what it waits for.

    Cycles of memories are whole numbers in the sheet, those of the array are not.
    """
    accelerator = machine_of(row, chosen, where, second_memory)
    addend = row.text("attr") == "conv + elwise" and not second_memory
    layer = layer_of(row, where.images, addend)
    pooled = POOLED.get((row.text("network"), row.text("layer"))) if is_pooled(row) else None
    workload = in_network(layer, types_of(row), pooled)
    pins: dict[str, str] = {"x": where.source, "w": where.weights, "y": where.result}
    if addend:
        pins["r"] = where.source
    problem = build_problem(workload, accelerator, pins)
    homes_T = problem.allowed_TH.argmax(axis=1).astype("int8")
    trace = simulate(problem, homes_T.tolist()).ops[0]
    scale = accelerator.clock_hz.value / where.images
    taken = evaluate(problem, homes_T)[0] * scale
    if trace.bound != "mac":
        taken = float(ceil(round(taken, 6)))
    return trace.mac_s * scale, taken, trace.bound


def _equal(point: Point) -> bool:
    """Equal but for the rounding of a division."""
    return abs(point.predicted - point.reference) <= 1e-9 * point.reference


def _bounds(halves: list[Comparison], second_memory: bool) -> tuple[Point, ...]:
    return tuple(
        half.bound
        for half in halves
        if half.bound is not None and half.second_memory is second_memory
    )


def _differences(halves: list[Comparison]) -> Iterator[str]:
    """The bounds that differ, one sentence for each layer."""
    seen: dict[str, list[Point]] = {}
    for half in halves:
        if half.bound is not None and not half.agrees:
            seen.setdefault(half.bound.name, []).append(half.bound)
    for name, points in seen.items():
        worst = max(abs(point.predicted - point.reference) for point in points)
        why = ", where the sheet rounds up a sum that is whole" if worst == 1 else ""
        yield f"{name}: {len(points)} bounds differ, by {worst:,.4g} cycles at most{why}."
