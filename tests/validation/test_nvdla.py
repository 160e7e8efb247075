"""NVDLA's spreadsheet: rows of every network and configuration, and what its rules say by hand."""

from dataclasses import replace
from pathlib import Path
from string import Template

import pytest

from accelerator_sim.accelerator import Accelerator
from accelerator_sim.cost.mac_array import array_cycles
from accelerator_sim.cost.mac_array.nvdla import stored_features, stored_weights
from accelerator_sim.cost.variants import variants_of
from accelerator_sim.mac_array import DirectConvolution
from accelerator_sim.targets import parse_target
from egrl.validation.machines import FOLDER, machine
from egrl.validation.nvdla import (
    COLUMNS,
    CONFIGURATION,
    FILES,
    ROWS_FILE,
    Comparison,
    compare,
    compare_all,
    validate,
)
from egrl.validation.nvdla_row import in_network
from egrl.validation.nvdla_sheet import BATCHES
from egrl.validation.one_op import Convolution, layer_workload
from egrl.validation.rows import Row, read_rows
from graph_ir.errors import InputError
from graph_ir.workload import MacWork, Op, Window

FOLDER_OF_ROWS = Path(__file__).parents[1] / "data" / "simulators"
ROWS = read_rows(FOLDER_OF_ROWS / ROWS_FILE, COLUMNS)
SAMPLE = ROWS[::7] + [row for row in ROWS[-54:] if row.text("layer").startswith("Res2a")]

VALUES: dict[str, object] = {
    "macs": 2048,
    "buffer_bytes": 512 << 10,
    "clock_hz": 1e9,
    "dram_bytes_per_s": 1.024e10,
    "order": "kernel-group",
    "spare_lines": 1,
    "images_apart": "true",
    "output_channel_quantum": 16,
    "winograd_weight_ratio": 16 / 9,
}


def sheet(**changes: object) -> Accelerator:
    return machine("nvdla", tuple((VALUES | changes).items()))


def array(**changes: object) -> DirectConvolution:
    found = sheet(**changes).mac_array
    assert isinstance(found, DirectConvolution)
    return found


def op_of(layer: Convolution) -> Op:
    return layer_workload(layer, "int8").ops[0]


def work_of(layer: Convolution) -> MacWork:
    return op_of(layer).mac_work[0]


def passes(layer: Convolution, accelerator: Accelerator) -> list[tuple[str, tuple[int, ...]]]:
    return [(v.loop_order, v.passes) for v in variants_of(op_of(layer), accelerator)]


def test_a_sample_of_all_rows() -> None:
    halves = list(compare_all(SAMPLE))
    macs = [half.mac for half in halves if half.mac is not None]
    bounded = [half for half in halves if half.bound is not None]
    assert len(macs) > 200
    assert [m.name for m in macs if m.predicted != pytest.approx(m.reference, rel=1e-12)] == []
    assert sum(half.agrees for half in bounded) >= 0.99 * len(bounded)
    assert all(half.kind in half.kinds for half in bounded)
    units = {half.kind for half in bounded}
    assert units == {"mac", "DRAM", "SRAM", "SRAM write"}


def test_the_result_states_the_goals(tmp_path: Path) -> None:
    text = (FOLDER_OF_ROWS / ROWS_FILE).read_text("utf-8").splitlines()
    (tmp_path / ROWS_FILE).write_text("\n".join(text[:12]) + "\n", "utf-8")
    result = validate(tmp_path)
    assert (FILES, len(result.series)) == ((ROWS_FILE,), 2)
    assert result.checks[0].measured == "22 of 22 equal"
    assert all(check.met for check in result.checks)
    assert [len(series.points) for series in result.series] == [11, 11]
    wrong = text[1].replace("49617.5625", "49618.5625")
    (tmp_path / ROWS_FILE).write_text("\n".join([text[0], wrong]) + "\n", "utf-8")
    result = validate(tmp_path)
    assert not any(check.met for check in result.checks)
    assert "2 bounds" not in result.notes[-1]
    assert "by 1 cycles" in result.notes[-1]


def changed(row: Row, **cells: str) -> Row:
    return Row("rows.csv:2", {**row.cells, **cells})


@pytest.mark.parametrize(
    ("cells", "complaint"),
    [
        ({"network": "VGG"}, "network: expected one of AlexNet"),
        ({"feat_bytes": "3"}, "feat_bytes: expected 1 or 2"),
        ({"macs_per_cycle": "0"}, "macs_per_cycle: expected a whole number"),
        ({"dram_gbs": "-1"}, "dram_gbs: expected a number above 0"),
        ({"R": "300"}, "R: expected a filter that fits"),
        ({"zero_pad": "perhaps"}, "zero_pad: expected one of True, False"),
        ({"withsram_max_cycles": "many"}, "withsram_max_cycles: expected a number"),
    ],
)
def test_wrong_cells(cells: dict[str, str], complaint: str) -> None:
    with pytest.raises(InputError, match=complaint) as caught:
        compare(changed(ROWS[0], **cells), True)
    assert "\n" not in str(caught.value)


def test_a_network_of_another_configuration_follows_the_formulas() -> None:
    """Rows by hand for numbers that no row has: 600 MHz, 4096 MAC, 3 GB/s, 64 KB."""
    row = changed(
        next(row for row in ROWS if row.text("layer") == "inception 4a 3x3"),
        clock_mhz="600", macs_per_cycle="4096", dram_gbs="3", cbuf_kb="64", fc_batch="4",
        sram_rd_gbs="9", sram_wr_gbs="9", withsram_mac_cycles="3822", nosram_mac_cycles="3822",
    )  # fmt: skip
    half = compare(row, False)
    assert half.mac is not None
    assert half.mac.predicted == 96 * 196 * 208 * 9 / 2.25 / 4096
    # Features (18.4 KB) are less than 32 kernels (27 KB), and fit beside them.
    assert half.bound is not None
    assert half.bound.predicted == -(-(18.375 + 39.8125 + 175.5) * 600 // 3)
    half = compare(row, True)
    # The weights come once for 11 images from DRAM, and for each from the second memory.
    assert half.bound is not None
    assert half.kind == "SRAM"
    assert half.bound.predicted == (18.375 + 175.5) * 600 / 9


def half_of(name: str, second_memory: bool, **cells: str) -> Comparison:
    row = next(row for row in ROWS if row.text("layer") == name)
    return compare(changed(row, **cells), second_memory)


def test_mixed_types() -> None:
    """Two bytes a weight and one a feature: only the weights' part of the traffic doubles."""
    plain, wide = (half_of("fc1", False, wt_bytes=size).bound for size in ("1", "2"))
    assert plain is not None
    assert wide is not None
    assert wide.predicted - plain.predicted == 36864 / 10 * 1000
    assert set(BATCHES["AlexNet"]) == {(1, 1), (1, 2), (2, 1), (2, 2)}


def test_cycles_by_hand() -> None:
    layer = Convolution(8, 8, 20, 40, 3, 3, pads=(1, 1, 1, 1))
    unit = array(macs=64)
    assert array_cycles(unit, work_of(layer)) == 32 * 64 * 48 * 9 / 2.25 / 64
    strided = replace(layer, stride_height=2, stride_width=2)
    assert array_cycles(unit, work_of(strided)) == 80 * 16 * 48 * 9 / 4 / 64
    plain = array(macs=64, output_channel_quantum=128)
    assert array_cycles(plain, work_of(layer)) == 32 * 64 * 128 * 9 / 2.25 / 64
    # Fully connected: 3 images of 40 outputs share columns, 120 rounded to 128.
    full = Convolution(1, 1, 20, 40, 1, 1, images=3)
    assert array_cycles(unit, work_of(full)) == 32 * 128 / 64
    grouped = Convolution(8, 8, 20, 40, 1, 1, groups=4)
    assert array_cycles(unit, work_of(grouped)) == 4 * 16 * 64 * 16 / 64
    matmul = MacWork(2, 7, 30, 50, left_type="int8", right_type="int8")
    assert array_cycles(unit, matmul) == 2 * 32 * 7 * 64 / 64


def test_winograd_needs_dense_steps() -> None:
    unit = array()
    base = Window((8, 8), (3, 3), (1, 1), (1, 1), (8, 8))
    speeds = []
    for window in (base, replace(base, dilations=(2, 2)), replace(base, kernel=(1, 9))):
        work = MacWork(1, 64, 144, 16, 9, False, "int8", "int8", window)
        speeds.append(array_cycles(unit, work))
    assert speeds == [taps * 16 * 16 * 64 / 2048 for taps in (4, 9, 9)]


def test_stored_forms() -> None:
    unit = array()
    first = work_of(Convolution(224, 224, 3, 64, 7, 7, 2, 2, pads=(2, 2, 3, 3)))
    # 3 channels at stride 2 are 12, stored as 16, of a quarter of the positions.
    assert stored_features(unit, first, 16) == 16 * 112 * 112 / (16 * 224 * 224)
    assert stored_weights(unit, first) == 16 * 4 * 4 / (3 * 7 * 7)
    dense = work_of(Convolution(8, 8, 24, 40, 3, 3, pads=(1, 1, 1, 1)))
    assert stored_features(unit, dense, 16) == 1.0
    assert stored_weights(unit, dense) == pytest.approx(32 / 24 * 16 / 9)


def test_what_stays_in_the_buffer() -> None:
    layer = Convolution(32, 32, 64, 512, 1, 1)
    # 64 KiB of features, 32 KiB of weights, 32 kernels of 2 KiB; two lines of 2 KiB.
    small = 16 << 10
    assert passes(layer, sheet(buffer_bytes=small)) == [("right-held", (3, 1, 1))]
    held = sheet(buffer_bytes=small, order="smaller-operand")
    assert passes(layer, held) == [("right-held", (3, 1, 1))]
    wide = replace(layer, filters=2048)
    assert passes(wide, held) == [("left-held", (1, 5, 1))]
    assert passes(wide, sheet(buffer_bytes=small, order="single-pass")) == [
        ("single-pass", (1, 1, 1))
    ]
    assert passes(wide, sheet(buffer_bytes=small, order="best")) == [
        ("left-held", (1, 5, 1)),
        ("right-held", (11, 1, 1)),
    ]
    assert passes(wide, sheet(buffer_bytes=1 << 20, order="best")) == [("single-pass", (1, 1, 1))]
    # Every image of a batch reads the weights again.
    assert passes(replace(wide, images=2), held) == [("left-held", (1, 10, 1))]
    together = sheet(buffer_bytes=small, order="smaller-operand", images_apart="false")
    assert passes(replace(wide, images=2), together) == [("right-held", (11, 1, 1))]


def test_lines_or_kernels_that_fill_the_buffer_take_half() -> None:
    layer = Convolution(2, 1024, 16, 4096, 1, 1)
    # Two lines are 32 KiB; weights are 64 KiB.
    assert passes(layer, sheet(buffer_bytes=16 << 10, order="kernel-group")) == [
        ("right-held", (8, 1, 1))
    ]
    tall = Convolution(64, 1, 1024, 64, 1, 1)
    # 32 kernels are 32 KiB, so that 8 KiB are left for 64 KiB of features.
    names = passes(tall, sheet(buffer_bytes=16 << 10, order="best"))
    assert names[0] == ("left-held", (1, 8, 1))


def test_pooled_outputs_and_kinds() -> None:
    layer = Convolution(8, 8, 16, 16, 3, 3, pads=(1, 1, 1, 1), images=2)
    workload = in_network(layer, (1, 2), 4)
    sizes = {workload.tensors[o.tensor].name: o.traffic_bytes for o in workload.ops[0].operands}
    assert sizes == {"x": 2 * 16 * 64, "w": 2 * 16 * 16 * 9, "y": 2 * 16 * 16}
    assert {t.name: t.data_type for t in workload.tensors} == {
        "x": "int8",
        "w": "int16",
        "y": "int8",
    }


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("kernel_group = 32", "kernel_group = 0", "tiling.kernel_group: expected 1"),
        ("spare_lines = 1", "spare_lines = -1", "tiling.spare_lines: expected 0"),
        ('rule = "convolution-buffer"', 'rule = "guess"', "guess"),
        ("weight_channel_quantum = 16", "weight_channel_quantum = 0", "weight_channel_quantum"),
        ("value = 2.25", "value = 0.5", "winograd_speedup: expected at least 1"),
        (
            'images_apart = true\nsource = "[N]"',
            'images_apart = true\nsource = ""',
            "tiling.source",
        ),
    ],
)
def test_wrong_accelerators(old: str, new: str, complaint: str) -> None:
    text = Template((FOLDER / "nvdla.toml").read_text("utf-8")).substitute(VALUES)
    assert text.count(old) == 1
    with pytest.raises(InputError, match=complaint):
        parse_target(text.replace(old, new), "file.toml")


def test_a_layer_that_occurs_twice_is_told_apart() -> None:
    twins = [row for row in ROWS if row.text("network") == "AlexNet" and row.text("layer") == "2"]
    fast = [changed(row, dram_gbs="0.1", withsram_max_cycles="1") for row in twins[:2]]
    assert all(fast[0].text(column) == fast[1].text(column) for column in CONFIGURATION)
    first, second = (half.bound for half in list(compare_all(fast))[1::2])
    assert first is not None
    assert second is not None
    assert first.predicted == 150 / 0.1 * 1000
    assert second.predicted == -(-150 / 18 / 0.1 * 1000 // 1)
