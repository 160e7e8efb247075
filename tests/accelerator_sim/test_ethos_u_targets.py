"""Wrong numbers in the file of an Ethos-U are named, not executed."""

import pytest

from accelerator_sim.targets import parse_target, target_text
from graph_ir.errors import InputError

BROKEN: dict[str, tuple[str, str, str, str]] = {
    "no rows of a block": ("ethos-u55-256", "block_height = 2", "block_height = 0", "block_height"),
    "rows that do not fit": (
        "ethos-u55-256",
        "block_height = 2",
        "block_height = 3",
        "block_height: expected a divisor",
    ),
    "no banks": ("ethos-u55-256", "shram_banks = 44", "shram_banks = 0", "shram_banks"),
    "a port of nothing": (
        "ethos-u55-256",
        "port_bytes_per_cycle = { value = 8",
        "port_bytes_per_cycle = { value = 0",
        "port_bytes_per_cycle",
    ),
    "a grid of another size": (
        "ethos-u85-512",
        "width = 2, channels",
        "width = 3, channels",
        "grids.0",
    ),
    "an unknown kind": ("ethos-u85-512", '"depthwise"', '"attention"', "grids.0.kinds"),
    "units of one number": ("ethos-u85-512", "[2, 2], [1, 2]", "[2], [1, 2]", "input_units"),
    "a stream of nothing": (
        "ethos-u85-512",
        "copy = { value = 3276800000",
        "copy = { value = 0",
        "stream_bytes_per_s.copy",
    ),
    "negative bursts": ("ethos-u65-512", "burst_bytes = 32", "burst_bytes = -1", "burst_bytes"),
    "nothing to write to": (
        "ethos-u55-256-sram-only",
        "burst_bytes = 32",
        "read_only = true\nburst_bytes = 32",
        "read_only",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_is_refused_with_its_key(case: str) -> None:
    name, old, new, expected = BROKEN[case]
    text = target_text(name)[0]
    assert old in text
    with pytest.raises(InputError) as error:
        parse_target(text.replace(old, new, 1), "file.toml")
    assert expected in str(error.value)
    assert "\n" not in str(error.value)
