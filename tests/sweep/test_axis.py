"""Axes: names, units and multiples; one bad value is one line before anything is simulated."""

import msgspec
import pytest

from accelerator_sim.targets import load_target
from egrl.sweep.axis import check_axes, parse_axis
from egrl.sweep.keys import parse_key, value_of, with_value
from graph_ir.errors import InputError

NNP_I = load_target("nnp-i")


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("SRAM.capacity_bytes=1MiB,2MiB,4194304", (2**20, 2**21, 2**22)),
        ("SRAM.capacity_bytes=0.5x,1.5x", (2**21, 3 * 2**21)),
        ("DRAM.read_bytes_per_s=64GB/s,1e11", (64e9, 1e11)),
        ("DRAM.bandwidth=0.5x,1x,2x", (33.6e9, 67.2e9, 134.4e9)),
        ("DRAM.bandwidth=1GiB/s", (2**30,)),
        ("clock_hz=500MHz,1x,1.2GHz", (0.5e9, 0.94e9, 1.2e9)),
        ("LLC.latency_s=0,70ns,1us", (0.0, 70e-9, 1e-6)),
        ("cores=1,12,0.5x", (1, 12, 6)),
        ("streaming.prefetch_ops=0,8", (0, 8)),
        ("interconnect.bytes_per_s=2x", (1360e9,)),
        ("dim:seq=32,64", (32, 64)),
        ("dim:a=b=32", (32,)),
        ("batch=1, 8", (1, 8)),
    ],
)
def test_values(text, values):
    assert parse_axis(text, NNP_I, "N").values == pytest.approx(values)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("SRAM.capacity_bytes", "expected KEY=VALUE"),
        ("SRAM.capacity_bytes=", "expected KEY=VALUE"),
        ("=3", "expected KEY=VALUE"),
        ("SRAM.capacity=1MiB", "no such number"),
        ("TCM.capacity_bytes=1MiB", "no such number"),
        ("colour=1", "no such number"),
        ("SRAM.capacity_bytes=0", "more than 0"),
        ("SRAM.capacity_bytes=0x", "more than 0"),
        ("clock_hz=1x,0", "more than 0"),
        ("SRAM.capacity_bytes=1MiB,soon", "'soon'"),
        ("SRAM.capacity_bytes=1MiB,,2MiB", "got ''"),
        ("SRAM.capacity_bytes=-1", "'-1'"),
        ("SRAM.capacity_bytes=nan", "'nan'"),
        ("SRAM.capacity_bytes=4GB/s", "such as 4MiB"),
        ("DRAM.bandwidth=4GB", "such as 64GB/s"),
        ("clock_hz=1ms", "such as 940MHz"),
        ("SRAM.capacity_bytes=1.5", "whole number"),
        ("cores=0.3x", "whole number"),
        ("clock_hz=1e999", "whole number"),
        ("clock_hz=1x,940MHz", "the same value as 1x"),
        ("dim:seq=0", "whole numbers from 1"),
        ("dim:seq=1.5", "whole numbers from 1"),
        ("batch=0.5x", "whole numbers from 1"),
        ("dim:seq=99999999999", "whole numbers from 1"),
        ("clock_hz=" + ",".join(map(str, range(1, 102))), "at most 100"),
    ],
)
def test_one_bad_value_is_one_line(text, part):
    with pytest.raises(InputError, match=part) as error:
        parse_axis(text, NNP_I, "N")
    assert "\n" not in str(error.value)


def test_bandwidth_scales_reads_and_writes_together():
    key = parse_key(NNP_I, "DRAM.bandwidth")
    dram = NNP_I.tiers[0]
    half = msgspec.structs.replace(
        dram, write_bytes_per_s=msgspec.structs.replace(dram.write_bytes_per_s, value=33.6e9)
    )
    machine = msgspec.structs.replace(NNP_I, tiers=[half, *NNP_I.tiers[1:]])
    tier = with_value(machine, key, 134.4e9).tiers[0]
    assert (tier.read_bytes_per_s.value, tier.write_bytes_per_s.value) == (134.4e9, 67.2e9)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SRAM.capacity_bytes", 2.0**23),
        ("LLC.latency_s", 0.0),
        ("clock_hz", 1e9),
        ("cores", 6.0),
        ("tile_buffer_bytes", 65536.0),
        ("interconnect.port_bytes_per_s", 1e11),
        ("streaming.prefetch_ops", 3.0),
    ],
)
def test_one_number_changes_and_no_other(name, value):
    key = parse_key(NNP_I, name)
    changed = with_value(NNP_I, key, value)
    assert value_of(changed, key) == value
    back = with_value(changed, key, value_of(NNP_I, key))
    for field in ("clock_hz", "cores", "tile_buffer_bytes"):
        assert getattr(back, field).value == getattr(NNP_I, field).value
    for before, after in zip(NNP_I.tiers, back.tiers, strict=True):
        assert before.capacity_bytes.value == after.capacity_bytes.value
        assert before.latency_s.value == after.latency_s.value
    assert back.streaming == NNP_I.streaming


@pytest.mark.parametrize(
    ("name", "value", "part"),
    [
        ("DRAM.bandwidth", 1e12, "slower than DRAM"),
        ("SRAM.capacity_bytes", 1024.0, "staging_bytes"),
        ("clock_hz", 1e19, "expected a number"),
    ],
)
def test_a_machine_that_no_file_could_state_is_refused(name, value, part):
    with pytest.raises(InputError, match=part):
        with_value(NNP_I, parse_key(NNP_I, name), value)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("clock_hz=1x", "clock_hz=2x"),
        ("DRAM.bandwidth=1x", "DRAM.read_bytes_per_s=2x"),
        ("batch=1", "dim:N=2"),
    ],
)
def test_two_axes_vary_different_things(first, second):
    axes = [parse_axis(text, NNP_I, "N") for text in (first, second)]
    with pytest.raises(InputError, match="varies the same"):
        check_axes(axes)
    check_axes([axes[0], parse_axis("LLC.bandwidth=1x", NNP_I)])
