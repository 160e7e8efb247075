"""Accelerator files: what is wrong is named in one line, with file and key."""

import math
from pathlib import Path

import pytest

from accelerator_sim.accelerator import Accelerator, homes_of
from accelerator_sim.quantity import Quantity
from accelerator_sim.targets import TARGETS, load_target, parse_target, target_text
from accelerator_sim.targets.checks import problems_of
from graph_ir.errors import InputError

BASE = target_text("nnp-i")[0]


def changed(old: str, new: str, text: str = BASE) -> str:
    assert old in text
    return text.replace(old, new, 1)


# What is changed in nnp-i's file, and what the message must name.
BROKEN: dict[str, tuple[str, str, str]] = {
    "zero bandwidth": (
        'read_bytes_per_s = { value = 680e9, source = "[WC] 680 GB/s" }',
        'read_bytes_per_s = { value = 0, source = "[WC] 680 GB/s" }',
        "tiers.LLC.read_bytes_per_s: expected at least 1, got 0",
    ),
    "zero write bandwidth": (
        'write_bytes_per_s = { value = 680e9, source = "[WC] 680 GB/s" }',
        'write_bytes_per_s = { value = 0.0, source = "[WC] 680 GB/s" }',
        "tiers.LLC.write_bytes_per_s: expected at least 1, got 0",
    ),
    "tiers out of order": (
        'read_bytes_per_s = { value = 680e9, source = "[WC] 680 GB/s" }',
        'read_bytes_per_s = { value = 60e9, source = "[WC] 680 GB/s" }',
        "tiers.LLC.read_bytes_per_s: expected the order outermost to innermost",
    ),
    "peak does not match": (
        "ops_per_s = 92e12",
        "ops_per_s = 48e12",
        "published_peak.ops_per_s: expected about 9.241e+13",
    ),
    "peak of nothing": ("ops_per_s = 92e12", "ops_per_s = 0", "published_peak.ops_per_s"),
    "peak not a number": ("ops_per_s = 92e12", "ops_per_s = nan", "published_peak.ops_per_s"),
    "tolerance not a number": ("tolerance = 0.05", "tolerance = nan", "published_peak.tolerance"),
    "unknown key": ("default_type =", 'flavour = "x"\ndefault_type =', "`flavour`"),
    "wrong unit in a name": ("[streaming]\n", "[streaming]\nslice_kib = 64\n", "`slice_kib`"),
    "text for a number": ("slice_bytes = 65536", 'slice_bytes = "65536"', "slice_bytes"),
    "fraction for a whole number": ("slice_bytes = 65536", "slice_bytes = 0.5", "slice_bytes"),
    "truth for a number": ("clock_hz = { value = 0.94e9", "clock_hz = { value = true", "clock_hz"),
    "a bare number": (
        'cores = { value = 12, source = "[WC] [HC] 12 ICEs (10 to 12 enabled)" }',
        "cores = 12",
        "cores",
    ),
    "not a number": ("clock_hz = { value = 0.94e9", "clock_hz = { value = nan", "clock_hz: "),
    "infinite": ("clock_hz = { value = 0.94e9", "clock_hz = { value = inf", "clock_hz: "),
    "negative": ("clock_hz = { value = 0.94e9", "clock_hz = { value = -1", "clock_hz: "),
    "too large for the arrays": ("slice_bytes = 65536", f"slice_bytes = {10**40}", "slice_bytes"),
    "stopped clock": ("clock_hz = { value = 0.94e9", "clock_hz = { value = 0", "clock_hz: "),
    "half a core": ("cores = { value = 12", "cores = { value = 11.5", "cores: expected a whole"),
    "no cores": ("cores = { value = 12", "cores = { value = 0", "cores: expected at least 1"),
    "capacity smaller than staging": (
        "capacity_bytes = { value = 4194304",
        "capacity_bytes = { value = 524287",
        "streaming.staging_bytes: expected at least two slices and at most 524287 bytes (SRAM)",
    ),
    "ring without room for two slices": (
        "staging_bytes = 524288",
        "staging_bytes = 131071",
        "streaming.staging_bytes: expected at least two slices",
    ),
    "negative prefetch": ("prefetch_ops = 8", "prefetch_ops = -1", "streaming.prefetch_ops"),
    "endless prefetch": ("prefetch_ops = 8", f"prefetch_ops = {10**12}", "streaming.prefetch_ops"),
    "transfers of a byte": ("slice_bytes = 65536", "slice_bytes = 1", "streaming.slice_bytes"),
    "a grid beyond any chip": ("rows = 32", f"rows = {10**12}", "mac_array.rows: expected 1 to"),
    "a negative grid": ("rows = 32\ncolumns = 32", "rows = -32\ncolumns = -32", "mac_array.rows"),
    "cores beyond any chip": ("cores = { value = 12", "cores = { value = 1e12", "cores: expected"),
    "a view that none streams": ('["Transpose", ', '["Transpoze", ', "streamed_views: expected"),
    "a peak that matches anything": ("tolerance = 0.05", "tolerance = 10", "peak.tolerance"),
    "a number of many digits": ("schema = 1", "schema = " + "9" * 1900, "schema"),
    "a number beyond the reader": ("schema = 1", "schema = " + "9" * 10_000, "line 7: expected"),
    "a key of many parts": ("schema = 1", "a." * 50_000 + "a = 1", "line 7: expected at most"),
    "a key with a terminal's code": ("schema = 1", '"a\\u001b[2J\\nb" = 1', "unknown field"),
    "negative bursts": (
        "alignment_bytes = 64", "alignment_bytes = 64\nburst_bytes = -1", "tiers.DRAM.burst_bytes",
    ),
    "a stream that stands still": (
        "alignment_bytes = 64",
        'alignment_bytes = 64\nstream_bytes_per_s = { input = { value = 0, source = "x" } }',
        "tiers.DRAM.stream_bytes_per_s.input",
    ),
    "a stream of no kind": (
        "alignment_bytes = 64",
        'alignment_bytes = 64\nstream_bytes_per_s = { inputs = { value = 1, source = "x" } }',
        "'inputs'",
    ),
    "no tier to write": (
        'activation_modes = ["replicated"]',
        'activation_modes = ["replicated"]\nread_only = true',
        "tiers.SRAM.read_only",
    ),
    "an unknown tiling": ("[streaming]", '[tiling]\nrule = "magic"\n[streaming]', "'magic'"),
    "a family that is none": (
        "[interconnect]",
        '[vector_unit.family_rate]\nsotfmax = { value = 1, source = "x" }\n[interconnect]',
        "vector_unit.family_rate.sotfmax",
    ),
    "missing source": (
        'read_bytes_per_s = { value = 680e9, source = "[WC] 680 GB/s" }',
        "read_bytes_per_s = { value = 680e9 }",
        "tiers.LLC.read_bytes_per_s: expected a source",
    ),
    "missing reason": (
        ', assumed = true, reason = "a third of the 10 W low-power point [HC]" }',
        ", assumed = true }",
        "energy.leakage_w: is assumed, so a reason is expected",
    ),
    "assumed streaming without reason": (
        'reason = "one DMA per ICE [HC]; depth',
        'source = "" # ',
        "streaming: expected a source",
    ),
    "missing array source": (
        'source = "[WC] [HC] DL compute grid of 32 x 32 x 4 = 4096 int8 MAC a cycle and ICE"',
        'source = ""',
        "mac_array.source",
    ),
    "missing energy of a pair": (
        '"fp16*int4" = { value = 1.1e-12, assumed = true, reason = "computed in fp16" }\n',
        "",
        "energy.mac_j.fp16*int4",
    ),
    "rate of an unknown type": ('"fp16*int8" = { value =', '"fp16*int9" = { value =', "int9"),
    "full rate that is not full": (
        '"int8*int8" = { value = 1.0',
        '"int8*int8" = { value = 0.5',
        "mac_array.relative_rate.int8*int8: expected 1",
    ),
    "no rate for the default type": (
        'default_type = "fp16"', 'default_type = "int32"', "default_type: mac_array has no rate",
    ),
    "default type without lanes": (
        'default_type = "fp16"', 'default_type = "int16"', "default_type: int16 has no lanes",
    ),
    "two tiers of one name": ('name = "LLC"', 'name = "DRAM"', "tiers: expected different names"),
    "a tier named as a unit": ('name = "LLC"', 'name = "port"', "tiers.1.name"),
    "a tier name with a slash": ('name = "LLC"', 'name = "LLC/partitioned"', "tiers.1.name"),
    "a tier name of two lines": ('name = "LLC"', 'name = "a\\nb"', "tiers.1.name"),
    "a name of two lines": ('name = "nnp-i"', 'name = "a\\nb"', "name: expected printable"),
    "outermost per core": ('scope = "shared"', 'scope = "per-core"', "tiers.DRAM"),
    "modes in a shared tier": (
        'name = "LLC"\n', 'name = "LLC"\nweight_modes = ["replicated"]\n', "tiers.LLC.weight_modes",
    ),
    "no modes in a per-core tier": (
        'weight_modes = ["replicated"]', "weight_modes = []", "tiers.SRAM.weight_modes",
    ),
    "an unknown mode": (
        'weight_modes = ["replicated"]', 'weight_modes = ["spread"]', "weight_modes",
    ),
    "an unknown dataflow": ('dataflow = "dot-grid"', 'dataflow = "magic"', "dataflow"),
    "a deep systolic array": (
        'dataflow = "dot-grid"', 'dataflow = "output-stationary"', "unknown field `depth`",
    ),
    "alignment of nothing": ("alignment_bytes = 64", "alignment_bytes = 0", "alignment_bytes"),
    "another schema": ("schema = 1", "schema = 2", "schema: expected 1, got 2"),
    "a key given twice": ("schema = 1", "schema = 1\nschema = 1", "not valid TOML"),
    "deeper than any reader": ("schema = 1", "schema = " + "[\n" * 50_000, "not valid TOML"),
}  # fmt: skip


@pytest.mark.parametrize("case", BROKEN, ids=str)
def test_broken_file(case: str, tmp_path: Path) -> None:
    old, new, expected = BROKEN[case]
    path = tmp_path / "mine.toml"
    path.write_text(changed(old, new), "utf-8")
    with pytest.raises(InputError) as caught:
        load_target(str(path))
    message = str(caught.value)
    assert str(path) in message
    assert expected in message
    assert message.isprintable()
    assert caught.value.exit_code == 2


def test_no_tiers() -> None:
    text = BASE[: BASE.index("[[tiers]]")].replace("schema = 1", "schema = 1\ntiers = []", 1)
    with pytest.raises(InputError, match="tiers: expected at least one"):
        parse_target(text, "a file")


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    binary = tmp_path / "binary.toml"
    binary.write_bytes(b"\xff\xfe\x00")
    large = tmp_path / "large.toml"
    large.write_bytes(b"#" * (1 << 21))
    for name in (str(binary), str(large), str(tmp_path / "none.toml"), str(tmp_path), "/dev/zero"):
        with pytest.raises(InputError) as caught:
            load_target(name)
        assert name in str(caught.value)
        assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="nothing: unknown; expected one of nnp-i"):
        load_target("nothing")


@pytest.mark.parametrize("name", TARGETS)
def test_shipped_files_are_in_order(name: str) -> None:
    accelerator = load_target(name)
    assert accelerator.name == name
    assert list(problems_of(accelerator)) == []
    assert accelerator.approximate


def _numbers(path: str, value: object) -> list[tuple[str, Quantity]]:
    if isinstance(value, Quantity):
        return [(path, value)]
    if isinstance(value, dict):
        return [pair for key, item in value.items() for pair in _numbers(f"{path}.{key}", item)]
    if isinstance(value, list):
        return [pair for i, item in enumerate(value) for pair in _numbers(f"{path}.{i}", item)]
    if hasattr(value, "__struct_fields__"):
        names = value.__struct_fields__
        return [pair for n in names for pair in _numbers(f"{path}.{n}", getattr(value, n))]
    return []


@pytest.mark.parametrize("name", TARGETS)
def test_every_number_says_where_it_is_from(name: str) -> None:
    numbers = _numbers("", load_target(name))
    assert len(numbers) > 25
    for path, number in numbers:
        assert bool(number.reason) == number.assumed, path
        assert bool(number.source) != number.assumed, path


# Published figures, from WikiChip, the Hot Chips 31 deck and Vela's configuration.
PUBLISHED: dict[str, dict[str, float]] = {
    "nnp-i": {
        "cores": 12,
        "MACs a cycle and core": 4096,
        "tile_buffer_bytes": 256 << 10,
        "DRAM bytes": 16 << 30,
        "DRAM B/s": 67.2e9,
        "LLC bytes": 24 << 20,
        "LLC B/s": 680e9,
        "SRAM bytes": 4 << 20,
        "SRAM B/s": 6.8e12 / 12,
        "peak op/s": 92e12,
    },
    "ethos-u65-512": {
        "cores": 1,
        "MACs a cycle and core": 512,
        "tile_buffer_bytes": 48 << 10,
        "DRAM B/s": 12e9,
        "SRAM bytes": 384 << 10,
        "SRAM B/s": 16e9,
        "peak op/s": 1.024e12,
    },
}
PUBLISHED["nnp-i-partitioned"] = PUBLISHED["nnp-i"]
# nvdla/hw, spec/defs; nvdla.org/primer.html, "Example area and performance".
PUBLISHED["nvdla-full"] = {
    "cores": 1,
    "MACs a cycle and core": 2048,
    "tile_buffer_bytes": 512 << 10,
    "DRAM B/s": 20e9,
    "CVSRAM bytes": 4 << 20,
    "CVSRAM B/s": 64e9,
    "peak op/s": 4.096e12,
}
PUBLISHED["nvdla-small"] = {
    "cores": 1,
    "MACs a cycle and core": 64,
    "tile_buffer_bytes": 128 << 10,
    "DRAM B/s": 1e9,
    "peak op/s": 1.28e11,
}
# Vela 5.2.0, vela.ini and architecture descriptions.
PUBLISHED["ethos-u55-128"] = {
    "cores": 1,
    "MACs a cycle and core": 128,
    "tile_buffer_bytes": 24 << 10,
    "flash B/s": 0.5e9,
    "SRAM B/s": 4e9,
}
PUBLISHED["ethos-u55-256"] = PUBLISHED["ethos-u55-128"] | {
    "MACs a cycle and core": 256,
    "tile_buffer_bytes": 48 << 10,
}
PUBLISHED["ethos-u55-256-sram-only"] = {"MACs a cycle and core": 256, "SRAM B/s": 4e9}
PUBLISHED["ethos-u85-512"] = {
    "MACs a cycle and core": 512,
    "DRAM B/s": 12e9,
    "SRAM bytes": 384 << 10,
    "SRAM B/s": 32e9,
}
PUBLISHED["ethos-u85-2048"] = {
    "MACs a cycle and core": 2048,
    "DRAM B/s": 24e9,
    "SRAM bytes": 512 << 10,
    "SRAM B/s": 64e9,
}
PUBLISHED["ethos-u85-2048-sram-only"] = {"MACs a cycle and core": 2048, "SRAM B/s": 64e9}
# The same machines in their other memory modes: the memory's size is the integrator's.
PUBLISHED["ethos-u55-128-sram-only"] = {"MACs a cycle and core": 128, "SRAM B/s": 4e9}
PUBLISHED["ethos-u65-512-sram-only"] = {"MACs a cycle and core": 512, "SRAM B/s": 16e9}
PUBLISHED["ethos-u85-512-sram-only"] = {"MACs a cycle and core": 512, "SRAM B/s": 32e9}
PUBLISHED["ethos-u65-512-shared-sram"] = PUBLISHED["ethos-u65-512-sram-only"] | {"DRAM B/s": 12e9}
PUBLISHED["ethos-u85-512-shared-sram"] = PUBLISHED["ethos-u85-512-sram-only"] | {"DRAM B/s": 12e9}
PUBLISHED["ethos-u85-2048-shared-sram"] = PUBLISHED["ethos-u85-2048-sram-only"] | {"DRAM B/s": 24e9}
# A twelfth of LLC, DRAM and peak; the M.2 card's 50 TOPS with 10 cores.
PUBLISHED["nnp-i-1core"] = PUBLISHED["nnp-i"] | {
    "cores": 1,
    "DRAM bytes": 2**34 / 12,
    "DRAM B/s": 5.6e9,
    "LLC bytes": 2 << 20,
    "LLC B/s": 680e9 / 12,
    "peak op/s": 92.4e12 / 12,
}
PUBLISHED["nnp-i-m2"] = PUBLISHED["nnp-i"] | {"cores": 10, "peak op/s": 50e12}
# jax-ml/jax, pallas/mosaic/tpu_info.py: bf16 rates and capacities per TensorCore.
PUBLISHED["tpu-v4i"] = {
    "cores": 4,
    "MACs a cycle and core": 128 * 128,
    "HBM B/s": 614e9,
    "HBM bytes": 8.59e9,
    "CMEM bytes": 134e6,
    "VMEM bytes": 16 << 20,
    "peak op/s": 1.37e14,
}
PUBLISHED["tpu-v5e"] = {
    "cores": 4,
    "MACs a cycle and core": 128 * 128,
    "HBM B/s": 820e9,
    "HBM bytes": 17.2e9,
    "VMEM bytes": 128 << 20,
    "peak op/s": 1.97e14,
}
# executorch, qc_schema.py: 8 MB of VTCM. The rest of that file is assumed.
PUBLISHED["hexagon-vtcm-8m"] = {"VTCM bytes": 8 << 20}
# maderix.substack.com: 16 cores, 19 TFLOPS, about 32 MiB.
PUBLISHED["ane-m4"] = {
    "cores": 16,
    "DRAM B/s": 120e9,
    "SRAM bytes": 32 << 20,
    "peak op/s": 1.9e13,
}
# Zephyr's board pages; tflite-micro issue 1173. No matrix unit.
PUBLISHED["imxrt1170"] = {
    "MACs a cycle and core": 0,
    "TCM bytes": 512 << 10,
    "TCM B/s": 8e9,
    "OCRAM bytes": 1280 << 10,
    "OCRAM B/s": 2e9,
    "HyperRAM bytes": 64 << 20,
    "HyperRAM B/s": 0.2e9,
}


def _facts(a: Accelerator) -> dict[str, float]:
    macs = a.mac_array.macs_per_cycle if a.mac_array is not None else 0
    facts = {
        "cores": a.cores.value,
        "MACs a cycle and core": macs,
        "tile_buffer_bytes": a.tile_buffer_bytes.value,
        "peak op/s": 2 * macs * a.cores.value * a.clock_hz.value,
    }
    for tier in a.tiers:
        facts[f"{tier.name} bytes"] = tier.capacity_bytes.value
        facts[f"{tier.name} B/s"] = tier.read_bytes_per_s.value
    return facts


@pytest.mark.parametrize("name", TARGETS)
def test_published_numbers(name: str) -> None:
    facts = _facts(load_target(name))
    for key, value in PUBLISHED[name].items():
        assert math.isclose(facts[key], value, rel_tol=0.005), key


def test_homes() -> None:
    names = [(h.tier, h.mode) for h in homes_of(load_target("nnp-i-partitioned"))]
    assert names == [(0, "shared"), (1, "shared"), (2, "replicated"), (2, "partitioned")]
    assert [(h.tier, h.mode) for h in homes_of(load_target("nnp-i"))] == names[:3]
