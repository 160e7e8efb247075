"""What must hold of the matrix unit of an Ethos-U, and of the memories that feed it."""

from collections.abc import Iterator

from accelerator_sim.accelerator import Accelerator, Tier
from accelerator_sim.mac_array import EthosU55, EthosU85

LARGEST_BLOCK = 4096
"""No extent of the unit is larger."""

KINDS = ("conv", "depthwise", "pooling")


def ethos_u_problems(a: Accelerator) -> Iterator[tuple[str, str]]:
    """Key and complaint of everything that is wrong with the unit."""
    array = a.mac_array
    if not isinstance(array, EthosU55 | EthosU85):
        return
    for key in ("rows", "columns", "depth", "engines"):
        yield from _extent(f"mac_array.{key}", getattr(array, key))
    for key in ("output_cycles", "port_bytes_per_cycle"):
        if getattr(array, key).value <= 0:
            yield f"mac_array.{key}", "expected more than 0"
    if isinstance(array, EthosU55):
        for key in (
            "block_height", "shram_banks", "input_granule_banks", "accumulator_granule_banks",
            "pooling_cycles", "restart_cycles",
        ):  # fmt: skip
            yield from _extent(f"mac_array.{key}", getattr(array, key))
        if array.block_height > 0 and array.rows % array.block_height:
            yield "mac_array.block_height", f"expected a divisor of rows, {array.rows}"
        return
    yield from _extent("mac_array.weight_decoders", array.weight_decoders)
    for key in ("input_buffer_bytes", "accumulator_buffer_bytes"):
        if not 1 <= getattr(array, key) <= 1 << 20:
            yield f"mac_array.{key}", f"expected 1 to {1 << 20}"
    if not array.grids or len(array.grids) > 8:
        yield "mac_array.grids", f"expected 1 to 8, got {len(array.grids)}"
    for index, grid in enumerate(array.grids):
        where = f"mac_array.grids.{index}"
        for key in ("height", "width", "channels"):
            yield from _extent(f"{where}.{key}", getattr(grid, key))
        if grid.height * grid.width * grid.channels != array.rows * array.columns:
            yield where, f"expected rows x columns, {array.rows * array.columns}, outputs"
        if not grid.kinds or not set(grid.kinds) <= set(KINDS):
            yield f"{where}.kinds", f"expected some of {', '.join(KINDS)}"
        pairs = len(grid.input_units) == 3 and all(len(unit) == 2 for unit in grid.input_units)
        if not pairs or any(not 1 <= n <= 64 for unit in grid.input_units for n in unit):
            yield f"{where}.input_units", "expected three pairs of numbers from 1 to 64"


def stream_problems(tiers: list[Tier]) -> Iterator[tuple[str, str]]:
    """Of bursts, bounds of streams and tiers that cannot be written."""
    for tier in tiers:
        if not 0 <= tier.burst_bytes <= 1 << 20:
            yield f"tiers.{tier.name}.burst_bytes", f"expected 0 to {1 << 20}"
        for stream, bound in tier.stream_bytes_per_s.items():
            if bound.value < 1:
                yield f"tiers.{tier.name}.stream_bytes_per_s.{stream}", "expected at least 1"
    if tiers and tiers[-1].read_only:
        yield f"tiers.{tiers[-1].name}.read_only", "expected an innermost tier that can be written"


def _extent(key: str, value: int) -> Iterator[tuple[str, str]]:
    if not 1 <= value <= LARGEST_BLOCK:
        yield key, f"expected 1 to {LARGEST_BLOCK}, got {value}"
