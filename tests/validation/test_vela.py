"""Vela's rows: the goals on a part of them, and the rules by hand."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accelerator_sim.accelerator import Accelerator
from accelerator_sim.cost.mac_array import array_cycles
from accelerator_sim.cost.mac_array.ethos_u55_blocks import Shram, block_of
from accelerator_sim.cost.mac_array.ethos_u_cycles import Timing, layer_cycles, reduction_cycles
from accelerator_sim.cost.mac_array.ethos_u_layer import Block, Layer, Shape, folded
from accelerator_sim.mac_array import MacArray
from accelerator_sim.targets import load_target
from egrl.validation.mobilenet_v2 import mobilenet_v2
from egrl.validation.vela_chain import chain, predict
from egrl.validation.vela_layers import VelaLayer, layer_workload
from egrl.validation.vela_machines import UNITS, Grid, ethos_machine
from egrl.validation.vela_machines import Shram as ShramFacts
from egrl.validation.vela_rows import Reference, Setting, _stride, read_networks, read_single
from graph_ir.workload import MacWork, TensorKind

ROWS = Path(__file__).parents[1] / "data" / "simulators"

U55_256 = Setting("ethos-u55-256", "Ethos_U55_High_End_Embedded", "Sram_Only")
U55_128 = Setting("ethos-u55-128", "Ethos_U55_High_End_Embedded", "Sram_Only")
U65_512 = Setting("ethos-u65-512", "Ethos_U65_Client_Server", "Dedicated_Sram_512KB")
U85_512 = Setting("ethos-u85-512", "Ethos_U85_SYS_DRAM_Mid", "Dedicated_Sram_384KB")
"""One setting of each kind, to keep the test short."""

SHRAM = Shram(Shape(2, 2, 8), 44, 8, 16)
TIMING = Timing(1, 32, True, 1, 4, 2, 0.25, 1.25, 8, 32)


@pytest.mark.parametrize(
    ("setting", "layer_error", "network_error"),
    [(U55_256, 0.02, 0.02), (U65_512, 0.10, 0.20), (U85_512, 0.15, 0.15)],
    ids=lambda value: value.unit if isinstance(value, Setting) else str(value),
)
def test_networks(setting: Setting, layer_error: float, network_error: float) -> None:
    networks = [n for n in read_networks(ROWS) if n.setting == setting]
    assert len(networks) == 5
    errors = []
    for network in networks:
        found = predict(setting, network.references)
        total = sum(one.cycles for one in found)
        assert total == pytest.approx(
            network.total_cycles - network.left_out_cycles, rel=network_error
        )
        pairs = zip(found, network.references, strict=True)
        errors += [abs(one.cycles / known.cycles - 1) for one, known in pairs]
    assert sum(errors) / len(errors) <= layer_error


def test_layers_compiled_alone_are_nearly_exact_in_sram() -> None:
    rows = [(s, one) for s, one in read_single(ROWS) if s.mode == "Sram_Only"]
    assert len(rows) == 64
    for setting, one in rows:
        limit = 0.1 if "u85" in setting.unit else 0.025
        assert predict(setting, [one])[0].cycles == pytest.approx(one.cycles, rel=limit), one.name


def test_mobilenet_v2_is_within_ten_percent_of_arms_platform() -> None:
    layers = mobilenet_v2()
    # 300.8 million multiply-accumulates are what the literature says.
    assert sum(op.macs for op in chain(layers).ops) == pytest.approx(300.8e6, rel=1e-3)
    references = [Reference("", layer, 1.0, 1.0, {}) for layer in layers]
    cycles = sum(one.cycles for one in predict(U55_128, references))
    assert cycles == pytest.approx(5.5e6, rel=0.10)


def test_block_by_hand() -> None:
    # A 3 x 3 convolution of 16 channels: 9 taps fill 12 places, 16 channels half of 32, so taps
    # are reduced part by part. An input block of depth 16 and 2-byte granules of 8 banks.
    layer = Layer("conv", Shape(32, 32, 16), Shape(32, 32, 16), (3, 3))
    block = block_of(layer, SHRAM)
    assert block.part_kernel
    assert block.source.depth == 16
    assert block.micro == Shape(2, 2, 8)
    stored = block.source.area * 16
    sums = block.result.area * 16 * 4
    banks = -(-2 * -(-stored // 1024) // 8) * 8 + -(-2 * -(-sums // 1024) // 16) * 16
    assert banks <= 44


def test_cycles_of_a_block_by_hand() -> None:
    layer = Layer("conv", Shape(4, 4, 64), Shape(4, 4, 16))
    block = Block(Shape(4, 4, 16), Shape(4, 4, 32), Shape(2, 2, 8), part_kernel=False)
    # 2 x 2 x 2 micro-blocks; 4 pixels take 16 cycles for 32 channels, but the weights of 8
    # channels take 32; two blocks of input channels.
    assert reduction_cycles(layer, block, TIMING) == 2 * 2 * 32
    # Reduction 128 > output 64; 4 x 4 x 32 bytes in, 4 x 4 x 16 out at 8 bytes a cycle.
    assert layer_cycles(layer, block, TIMING) == 128 + 64 + 64 + 32 + 32


def test_depthwise_and_one_row_use_little_of_the_array() -> None:
    array = ethos_machine(U55_256.unit, U55_256.system, U55_256.mode).mac_array
    assert array is not None
    depthwise = layer_workload(
        VelaLayer("depthwise", (56, 56, 144), (56, 56, 144), (3, 3), weight_bytes=1)
    ).ops[0]
    row = MacWork(1, 1, 2048, 1000, left_type="int8", right_type="int8")
    assert depthwise.macs / 256 / array_cycles(array, depthwise.mac_work[0]) < 0.12
    assert row.macs / 256 / array_cycles(array, row) < 0.05


@pytest.mark.parametrize("unit", ["ethos-u55-128", "ethos-u55-256", "ethos-u65-512"])
def test_seventeen_channels_are_a_step(unit: str) -> None:
    def bricks(channels: int) -> tuple[float, float]:
        layer = VelaLayer(
            "conv", (32, 32, 64), (32, 32, channels), weight_bytes=64, model_output=False
        )
        setting = Setting(unit, "Ethos_U55_High_End_Embedded", "Sram_Only")
        accelerator = ethos_machine(setting.unit, setting.system, setting.mode)
        op = layer_workload(layer).ops[0]
        assert accelerator.mac_array is not None
        return array_cycles(accelerator.mac_array, op.mac_work[0]), predict(
            setting, [Reference("", layer, 1.0, 1.0, {})]
        )[0].cycles

    for channels in range(9, 16):
        assert bricks(channels)[0] <= bricks(16)[0] < bricks(17)[0]
    assert bricks(17)[0] > 1.3 * bricks(16)[0]
    assert bricks(17)[1] > bricks(16)[1]


@given(st.integers(1, 5000))
def test_rows_fold_into_an_image(rows: int) -> None:
    height, width = folded(rows)
    assert height * width == rows
    assert rows == 1 or width >= height


arrays: dict[str, MacArray] = {
    name: array
    for name in ("ethos-u55-128", "ethos-u55-256", "ethos-u85-512")
    if (array := load_target(name).mac_array) is not None
}


@given(
    st.sampled_from(sorted(arrays)), st.integers(1, 300), st.integers(1, 300), st.integers(1, 300)
)
def test_never_below_the_peak(name: str, rows: int, inner: int, columns: int) -> None:
    array = arrays[name]
    work = MacWork(1, rows, inner, columns, left_type="int8", right_type="int8")
    assert array_cycles(array, work) * array.macs_per_cycle >= work.macs


@given(st.sampled_from(sorted(arrays)), st.integers(1, 40), st.integers(1, 12), st.integers(1, 20))
def test_more_input_channels_never_take_less(
    name: str, rows: int, bricks: int, columns: int
) -> None:
    def cycles(inner: int) -> float:
        work = MacWork(1, rows, inner, 16 * columns, left_type="int8", right_type="int8")
        return array_cycles(arrays[name], work)

    assert cycles(64 * bricks) <= cycles(64 * (bricks + 1))


def test_stride_of_a_row() -> None:
    assert _stride(30, 3, 28) == 1  # not padded
    assert _stride(32, 3, 32) == 1
    assert _stride(224, 7, 112) == 2
    assert _stride(15, 15, 1) == 1


def test_a_layer_keeps_encoded_weights_and_neighbours() -> None:
    layer = VelaLayer("conv", (8, 8, 16), (8, 8, 32), (3, 3), weight_bytes=777, model_input=False)
    workload = layer_workload(layer)
    kinds = {tensor.name: tensor.kind for tensor in workload.tensors}
    assert kinds["x"] is TensorKind.ACTIVATION
    assert kinds["y"] is TensorKind.IO
    traffic = {workload.tensors[o.tensor].name: o.traffic_bytes for o in workload.ops[0].operands}
    assert traffic == {"x": 8 * 8 * 16, "w": 777, "b": 320, "y": 8 * 8 * 32}


@pytest.mark.parametrize(
    ("name", "unit", "system", "mode"),
    [
        ("ethos-u55-128", "ethos-u55-128", "Ethos_U55_High_End_Embedded", "Shared_Sram"),
        ("ethos-u55-256", "ethos-u55-256", "Ethos_U55_High_End_Embedded", "Shared_Sram"),
        ("ethos-u55-256-sram-only", "ethos-u55-256", "Ethos_U55_High_End_Embedded", "Sram_Only"),
        ("ethos-u65-512", "ethos-u65-512", "Ethos_U65_Client_Server", "Dedicated_Sram_384KB"),
        ("ethos-u85-512", "ethos-u85-512", "Ethos_U85_SYS_DRAM_Mid", "Dedicated_Sram_384KB"),
        ("ethos-u85-2048", "ethos-u85-2048", "Ethos_U85_SYS_DRAM_High", "Dedicated_Sram_512KB"),
        ("ethos-u85-2048-sram-only", "ethos-u85-2048", "Ethos_U85_SYS_DRAM_High", "Sram_Only"),
    ],
)
def test_shipped_targets_are_the_machines_that_were_compared(
    name: str, unit: str, system: str, mode: str
) -> None:
    target, machine = load_target(name), ethos_machine(unit, system, mode)
    assert _numbers(target) == _numbers(machine)


def _numbers(accelerator: Accelerator) -> list[object]:
    array = accelerator.mac_array
    assert array is not None
    own = [
        (key, getattr(value, "value", value))
        for key in array.__struct_fields__
        if key not in ("source", "relative_rate")
        for value in [getattr(array, key)]
    ]
    tiers = [
        (
            tier.name,
            tier.read_bytes_per_s.value,
            tier.write_bytes_per_s.value,
            pytest.approx(tier.latency_s.value),
            tier.burst_bytes,
            tier.read_only,
            {key: pytest.approx(rate.value) for key, rate in tier.stream_bytes_per_s.items()},
        )
        for tier in accelerator.tiers
    ]
    return [own, tiers, accelerator.clock_hz.value, accelerator.vector_unit.lanes["int8"].value]


def test_multipliers_of_every_unit() -> None:
    for name, unit in UNITS.items():
        macs = int(name.rsplit("-", 1)[1])
        if isinstance(unit, ShramFacts):
            assert unit.height * unit.width * unit.channels * unit.engines * 8 == macs
        else:
            assert isinstance(unit, Grid)
            assert unit.rows * unit.columns * 8 == macs
