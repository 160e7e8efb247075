"""Vela's per-layer CSV as a placement problem, with Vela's own placement as the plan.

Vela times an op as the longest of its arithmetic and its accesses to each memory area; so does
this problem, with traffic chosen such that Vela's own placement takes exactly Vela's cycles:
access cycles of an area become bytes by the area's bandwidth and are shared out over the op's
tensors in that area by their size.

The CSV names no tensors. Sizes come from the columns `in_shapes` and `out_shape` (`[1; 32; 32; 3]`
with `;` between extents, taken from the TFLite file; int8, one-dimensional constants int32).
Producers are inferred: an input is the newest output of its size that nothing has read yet, or
failing that (a residual) one that the column of SRAM in use leaves room for, the newest result
of a join or pooling before the oldest result of a convolution.
Elementwise ops work in place where that column leaves no other way. Ops without shapes get one
scratch buffer. Rows of 0 cycles are fused into others and left out.

In `Shared_Sram` and `Sram_Only` the memory mode says where every class of tensors is. In
`Dedicated_Sram` Vela chooses for each feature map and the CSV does not say what; it is refused.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path

from egrl.audit.csv_input import CsvRow, read_rows
from egrl.audit.parts import problem_from_parts
from egrl.audit.plan import THEIR_PLAN_SCHEMA, TheirPlan
from egrl.audit.problem import Problem, ProblemOp, ProblemTensor, ProblemTier, Stream
from egrl.audit.vela_dataflow import Buffer, BufferKind, Layer, infer_dataflow
from graph_ir.errors import InputError

SRAM = "sram"
SELECTORS = ("network", "accelerator", "system_config", "memory_mode")
AREA_COLUMNS = {
    "sram_ac": SRAM,
    "dram_ac": "dram",
    "onflash_ac": "on_chip_flash",
    "offflash_ac": "off_chip_flash",
}
SPELLINGS = {
    "NNG Operator": "nng_op",
    "NPU": "npu_cycles",
    "SRAM AC": "sram_ac",
    "DRAM AC": "dram_ac",
    "OnFlash AC": "onflash_ac",
    "OffFlash AC": "offflash_ac",
    "Staging Usage": "staging_bytes",
    "Name": "name",
}
REQUIRED = (
    "nng_op",
    "npu_cycles",
    *AREA_COLUMNS,
    "staging_bytes",
    "name",
    "in_shapes",
    "out_shape",
)
# Memory modes in which each class of tensors has one known home: where constants are.
CONSTANTS_IN_SRAM = {"Shared_Sram": False, "Sram_Only": True}


@dataclass(frozen=True, slots=True)
class VelaSystem:
    """A system configuration of Arm's `vela.ini`, as far as placement needs it.

    Attributes:
        clock_hz: of the NPU.
        sram_bytes_per_s: bandwidth of the SRAM.
        outer: the memory beyond it.
        outer_bytes_per_s: its bandwidth.
    """

    clock_hz: float
    sram_bytes_per_s: float
    outer: str
    outer_bytes_per_s: float


# Source: vela.ini of ethos-u-vela 5.2.0.
SYSTEMS = {
    "Ethos_U55_Deep_Embedded": VelaSystem(200e6, 1.6e9, "off_chip_flash", 0.1e9),
    "Ethos_U55_High_End_Embedded": VelaSystem(500e6, 4e9, "off_chip_flash", 0.5e9),
    "Ethos_U65_Embedded": VelaSystem(500e6, 8e9, "off_chip_flash", 0.5e9),
    "Ethos_U65_Mid_End": VelaSystem(500e6, 8e9, "dram", 3.75e9),
    "Ethos_U65_High_End": VelaSystem(1e9, 16e9, "dram", 3.75e9),
    "Ethos_U65_Client_Server": VelaSystem(1e9, 16e9, "dram", 12e9),
}


@dataclass(frozen=True, slots=True)
class VelaImport:
    """What a Vela file holds.

    Attributes:
        problem: the placement problem.
        plan: where Vela put each tensor.
    """

    problem: Problem
    plan: TheirPlan


def import_vela(
    path: Path, capacity_bytes: int | None = None, select: Mapping[str, str] | None = None
) -> VelaImport:
    """Reads the rows of one network and configuration.

    Args:
        path: of the CSV: Vela's `--verbose-performance` file, or one with its columns in lower
            case; with `in_shapes` and `out_shape` added.
        capacity_bytes: SRAM; where None, the most that Vela's schedule had in use.
        select: values of `SELECTORS`; they pick rows where the file has the column, and state the
            fact where it has not.

    Raises:
        InputError: the file cannot be read, rows of several configurations are left, or the
            configuration is not one whose placement the file tells.
    """
    rows, facts = _selected(path, read_rows(path, REQUIRED, SPELLINGS), select or {})
    system_name, mode = facts["system_config"], facts["memory_mode"]
    if system_name not in SYSTEMS:
        raise InputError(
            f"{path}: system_config: expected one of {', '.join(SYSTEMS)}, got {system_name!r}"
        )
    if mode not in CONSTANTS_IN_SRAM:
        raise InputError(
            f"{path}: memory_mode: expected one of {', '.join(CONSTANTS_IN_SRAM)}, got {mode!r}; "
            f"in other modes the file does not say which feature maps Vela keeps in SRAM"
        )
    system = SYSTEMS[system_name]
    constants_home = SRAM if CONSTANTS_IN_SRAM[mode] else system.outer
    layers = [_layer(row) for row in rows if any(row.integer(c) for c in _CYCLES)]
    if not layers:
        raise InputError(f"{path}: expected an op with cycles, got none")
    buffers = infer_dataflow(layers)
    ops, extra = _ops(layers, buffers, system, constants_home, path)
    buffers = [*buffers, *extra]
    homes = {b.name: constants_home if b.kind == "weight" else SRAM for b in buffers}
    needed = _peak_in_sram(buffers, homes, len(layers))
    most_staged = max(layer.staging_bytes for layer in layers)
    problem = problem_from_parts(
        tiers=(
            ProblemTier(system.outer, system.outer_bytes_per_s, system.outer_bytes_per_s),
            ProblemTier(
                SRAM,
                system.sram_bytes_per_s,
                system.sram_bytes_per_s,
                capacity_bytes if capacity_bytes is not None else max(needed, most_staged),
            ),
        ),
        tensors=[ProblemTensor(b.name, b.kind, b.size_bytes, b.start, b.end) for b in buffers],
        ops=ops,
        name=" ".join(facts[name] for name in SELECTORS if name in facts),
        pins={b.name: SRAM for b in buffers if b.kind == "io"},
    )
    return VelaImport(problem, TheirPlan(THEIR_PLAN_SCHEMA, dict(homes), f"Vela {mode}"))


_CYCLES = ("npu_cycles", *AREA_COLUMNS)


def _selected(
    path: Path, rows: list[CsvRow], select: Mapping[str, str]
) -> tuple[list[CsvRow], dict[str, str]]:
    facts: dict[str, str] = {}
    for name, value in select.items():
        if name not in SELECTORS:
            raise InputError(f"select: expected one of {', '.join(SELECTORS)}, got {name!r}")
        if name in rows[0].fields:
            rows = [row for row in rows if row.fields[name] == value]
        facts[name] = value
        if not rows:
            raise InputError(f"{path}: expected rows with {name} {value!r}, got none")
    for name in SELECTORS:
        if name not in rows[0].fields:
            if name in ("system_config", "memory_mode") and name not in facts:
                raise InputError(f"{path}: no column {name!r}: state it with --select {name}=...")
            continue
        values = list(dict.fromkeys(row.fields[name] for row in rows))
        if len(values) > 1:
            raise InputError(
                f"{path}: expected one {name}, got {', '.join(values[:12])}: "
                f"choose with --select {name}=..."
            )
        facts[name] = values[0]
    return rows, facts


def _layer(row: CsvRow) -> Layer:
    return Layer(
        # Vela joins the names of all that it fused; the first tells a person enough.
        name=row.fields["name"].split(";")[0] or row.fields["nng_op"],
        operator=row.fields["nng_op"],
        npu_cycles=row.integer("npu_cycles"),
        access_cycles={area: row.integer(c) for c, area in AREA_COLUMNS.items()},
        staging_bytes=row.integer("staging_bytes"),
        inputs=_shapes(row, "in_shapes"),
        output=next(iter(_shapes(row, "out_shape")), None),
    )


def _shapes(row: CsvRow, column: str) -> tuple[tuple[int, ...], ...]:
    """`[[1; 32; 32; 3]; [16; 3; 3; 3]]`, or one shape, or `[]` for none."""
    text = row.fields[column]
    shapes: list[tuple[int, ...]] = []
    for inner in re.findall(r"\[([^\[\]]*)\]", text[:10_000]):
        extents = [part.strip() for part in inner.split(";") if part.strip()]
        if any(not (e.isascii() and e.isdecimal() and len(e) < 10) for e in extents):
            raise InputError(f"{row.at}: expected shapes as {column}, got {text[:60]!r}")
        if extents:
            shape = tuple(int(extent) for extent in extents)
            if prod(shape) > 2**40:
                raise InputError(f"{row.at}: expected at most 2^40 elements, got {text[:60]!r}")
            shapes.append(shape)
    return tuple(shapes)


def _ops(
    layers: list[Layer],
    buffers: list[Buffer],
    system: VelaSystem,
    constants_home: str,
    path: Path,
) -> tuple[list[ProblemOp], list[Buffer]]:
    """The ops with their streams, and buffers for accesses that no known tensor explains."""
    rate = {SRAM: system.sram_bytes_per_s, system.outer: system.outer_bytes_per_s}
    ops: list[ProblemOp] = []
    extra: list[Buffer] = []
    for index, layer in enumerate(layers):
        reads: list[Stream] = []
        writes: list[Stream] = []
        for area, cycles in layer.access_cycles.items():
            if cycles == 0:
                continue
            if area not in rate:
                raise InputError(
                    f"{path}: {layer.name!r} accesses {area}, expected only {' and '.join(rate)}"
                )
            traffic = cycles / system.clock_hz * rate[area]
            here = [
                (b, is_write)
                for b, is_write in _touched(buffers, index)
                if (constants_home if b.kind == "weight" else SRAM) == area and b.size_bytes
            ]
            if not here:
                kind: BufferKind = "weight" if area != SRAM else "scratch"
                size = int(traffic) + 1 if kind == "weight" else layer.staging_bytes
                start, end = (0, len(layers)) if kind == "weight" else (index, index + 1)
                buffer = Buffer(f"#{index} {layer.name} {kind}", kind, size, start, end, (), ())
                extra.append(buffer)
                here = [(buffer, False)]
            total = sum(b.size_bytes for b, _ in here) or 1
            for buffer, is_write in here:
                share = buffer.size_bytes / total if len(here) > 1 else 1.0
                (writes if is_write else reads).append(Stream(buffer.name, traffic * share))
        ops.append(
            ProblemOp(
                f"#{index} {layer.operator} {layer.name}",
                compute_s=layer.npu_cycles / system.clock_hz,
                reads=reads,
                writes=writes,
            )
        )
    return ops, extra


def _touched(buffers: list[Buffer], op: int) -> list[tuple[Buffer, bool]]:
    """Buffers that an op reads (False) or writes (True)."""
    reads = [(b, False) for b in buffers if op in b.readers]
    return reads + [(b, True) for b in buffers if op in b.writers]


def _peak_in_sram(buffers: list[Buffer], homes: Mapping[str, str], op_count: int) -> int:
    steps = [0] * (op_count + 1)
    for buffer in buffers:
        if homes[buffer.name] == SRAM:
            steps[buffer.start] += buffer.size_bytes
            steps[buffer.end] -= buffer.size_bytes
    peak = live = 0
    for step in steps:
        live += step
        peak = max(peak, live)
    return peak
