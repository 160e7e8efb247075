"""Reads Vela's rows: which of them are operations, and what layers they are."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path

from egrl.validation.rows import Row, read_rows
from egrl.validation.vela_layers import VelaLayer
from egrl.validation.vela_machines import MODES, SYSTEMS, UNITS

PER_LAYER_FILE = "vela_per_layer.csv"
SUMMARY_FILE = "vela_summary.csv"
SINGLE_FILE = "vela_single_layer.csv"

ACCESS = ("sram_ac", "dram_ac", "onflash_ac", "offflash_ac")
PER_LAYER_COLUMNS = (
    "network", "accelerator", "system_config", "memory_mode", "orig_op", "nng_op", "in_shapes",
    "out_shape", "op_cycles", "npu_cycles", *ACCESS, "macs", "name",
)  # fmt: skip
SUMMARY_COLUMNS = (
    "network", "accelerator_configuration", "system_config", "memory_mode",
    "total_original_weights", "total_npu_encoded_weights", "cycles_total",
)  # fmt: skip
SINGLE_COLUMNS = (
    "layer", "kind", "M", "N", "K", "ih", "iw", "k", "cin", "cout", "stride", "accelerator",
    "system_config", "memory_mode", "core", "n_npu_ops", "op_cycles_sum", "npu_cycles", "sram_ac",
    "dram_ac", "offflash_ac", "enc_weight_bytes",
)  # fmt: skip

KINDS = {
    "Conv2D": "conv",
    "DepthwiseConv2D": "depthwise",
    "FullyConnected": "fc",
    "Add": "add",
    "AvgPool": "avgpool",
    "MaxPool": "maxpool",
}


@dataclass(frozen=True, slots=True)
class Setting:
    """Accelerator, system configuration and memory mode."""

    unit: str
    system: str
    mode: str

    def __str__(self) -> str:
        return f"{self.unit} {self.system} {self.mode}"


@dataclass(frozen=True, slots=True)
class Reference:
    """What Vela says of one operation.

    Attributes:
        name: for people.
        layer: what it computes.
        cycles: of the operation.
        npu_cycles: of the unit, waiting for weights included.
        access_cycles: of each memory: SRAM, DRAM or flash.
    """

    name: str
    layer: VelaLayer
    cycles: float
    npu_cycles: float
    access_cycles: dict[str, float]


@dataclass(frozen=True, slots=True)
class Network:
    """One compiled network.

    Attributes:
        name: of the network.
        setting: what it was compiled for.
        references: its operations, in order.
        total_cycles: by Vela's summary.
        silent: rows with 0 cycles: fused activations and operations of a chain.
        left_out: rows without shapes (an expanded softmax), or of a kind that no rule describes.
        left_out_cycles: of them all.
    """

    name: str
    setting: Setting
    references: tuple[Reference, ...]
    total_cycles: float
    silent: int
    left_out: int
    left_out_cycles: float


def read_networks(folder: Path) -> list[Network]:
    """All networks of the per-layer file that the summary has too.

    Raises:
        InputError: a row is wrong.
    """
    summaries: dict[tuple[str, Setting], Row] = {}
    for row in read_rows(folder / SUMMARY_FILE, SUMMARY_COLUMNS):
        unit = row.text("accelerator_configuration").lower().replace("_", "-")
        if unit in UNITS:
            summaries[(row.text("network"), _setting(row, unit))] = row
    groups: dict[tuple[str, Setting], list[Row]] = {}
    for row in read_rows(folder / PER_LAYER_FILE, PER_LAYER_COLUMNS):
        unit = row.choice("accelerator", tuple(UNITS))
        groups.setdefault((row.text("network"), _setting(row, unit)), []).append(row)
    return [
        _network(name, setting, rows, summaries[(name, setting)])
        for (name, setting), rows in groups.items()
        if (name, setting) in summaries
    ]


def read_single(folder: Path) -> list[tuple[Setting, Reference]]:
    """The layers that were compiled alone, by Vela's present core.

    A row whose operation Vela cut into several is left out: its columns are sums of operations
    that the row does not describe.

    Raises:
        InputError: a row is wrong.
    """
    found = []
    for row in read_rows(folder / SINGLE_FILE, SINGLE_COLUMNS):
        if row.text("core") != "regor" or row.count("n_npu_ops") > 2:
            continue
        unit = row.choice("accelerator", tuple(UNITS))
        kind = {"conv": "conv", "dwconv": "depthwise", "fc": "fc"}[
            row.choice("kind", ("conv", "dwconv", "fc"))
        ]
        weight_bytes = row.count("enc_weight_bytes")
        if kind == "fc":
            rows = row.count("M")
            source, result = (rows, 1, row.count("K")), (rows, 1, row.count("N"))
            layer = VelaLayer(kind, source, result, weight_bytes=weight_bytes)
        else:
            step, taps = row.count("stride"), row.count("k")
            height, width = row.count("ih"), row.count("iw")
            layer = VelaLayer(
                kind,
                (height, width, row.count("cin")),
                (-(-height // step), -(-width // step), row.count("cout")),
                (taps, taps),
                (step, step),
                weight_bytes,
            )
        access = {
            "SRAM": row.number("sram_ac"),
            "DRAM": row.number("dram_ac"),
            "flash": row.number("offflash_ac"),
        }
        name = f"{row.text('layer')} {unit} {row.text('memory_mode')}"
        cycles, npu = row.positive("op_cycles_sum"), row.number("npu_cycles")
        reference = Reference(name, layer, cycles, npu, access)
        found.append((_setting(row, unit), reference))
    return found


def _setting(row: Row, unit: str) -> Setting:
    return Setting(
        unit, row.choice("system_config", tuple(SYSTEMS)), row.choice("memory_mode", MODES)
    )


def _network(name: str, setting: Setting, rows: Sequence[Row], summary: Row) -> Network:
    encoded = summary.number("total_npu_encoded_weights")
    ratio = encoded / max(1.0, summary.number("total_original_weights"))
    loud = [row for row in rows if row.number("op_cycles") > 0]
    ops = [row for row in loud if row.text("orig_op") in KINDS and _shapes(row, "out_shape")]
    others = [row for row in loud if row not in ops]
    references = tuple(
        _reference(
            f"{name} {position} {setting.unit} {setting.mode}",
            row,
            ratio,
            row is loud[0],
            row is loud[-1],
        )
        for position, row in enumerate(ops)
    )
    return Network(
        name,
        setting,
        references,
        summary.positive("cycles_total"),
        len(rows) - len(loud),
        len(others),
        sum(row.number("op_cycles") for row in others),
    )


def _reference(
    name: str, row: Row, ratio: float, model_input: bool, model_output: bool
) -> Reference:
    kind = KINDS[row.choice("orig_op", tuple(KINDS))]
    inputs, outputs = _shapes(row, "in_shapes"), _shapes(row, "out_shape")
    if not inputs or not outputs or (kind in ("conv", "depthwise", "fc") and len(inputs) < 2):
        raise row.wrong("in_shapes", f"the shapes of a {kind}")
    kernel, step, weights = (1, 1), (1, 1), 0
    if kind == "fc":
        filters, channels = inputs[1][0], inputs[1][-1]
        batch = max(1, prod(inputs[0]) // channels)
        source, result = (batch, 1, channels), (batch, 1, filters)
        weights = prod(inputs[1])
    else:
        source, result = _image(inputs[0]), _image(outputs[0])
        if kind in ("conv", "depthwise"):
            kernel, weights = (inputs[1][1], inputs[1][2]), prod(inputs[1])
        elif kind in ("avgpool", "maxpool"):
            kernel = _window(row, result)
        step = (
            _stride(source[0], kernel[0], result[0]),
            _stride(source[1], kernel[1], result[1]),
        )
    layer = VelaLayer(
        kind,
        source,
        result,
        kernel,
        step,
        max(1, round(weights * ratio)),
        model_input,
        model_output,
    )
    access = {
        "SRAM": row.number("sram_ac"),
        "DRAM": row.number("dram_ac"),
        "flash": row.number("onflash_ac") + row.number("offflash_ac"),
    }
    return Reference(name, layer, row.positive("op_cycles"), row.number("npu_cycles"), access)


def _window(row: Row, result: tuple[int, int, int]) -> tuple[int, int]:
    """The square window of a pooling: its "macs" are taps times outputs."""
    side = max(1, round((row.number("macs") / prod(result)) ** 0.5))
    return side, side


def _stride(size: int, taps: int, outputs: int) -> int:
    """The smallest stride that gives so many outputs, padded or not."""
    for step in range(1, size + 1):
        if outputs in (-(-size // step), (size - taps) // step + 1):
            return step
    return max(1, -(-size // outputs))


def _shapes(row: Row, column: str) -> list[list[int]]:
    """Shapes in brackets, extents parted by semicolons."""
    found = re.findall(r"\[([0-9; ]+)\]", row.text(column))
    return [[int(extent) for extent in text.split(";") if extent.strip()] for text in found]


def _image(shape: Sequence[int]) -> tuple[int, int, int]:
    height, width, channels = ([1, 1, 1, *shape])[-3:]
    return height, width, channels
