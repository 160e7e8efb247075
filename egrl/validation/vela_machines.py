"""The accelerators, system configurations and memory modes of Vela 5.2.0 as reference machines.

All numbers are those of its `vela.ini` and of its architecture descriptions; bandwidths are in
bytes a cycle there, latencies in cycles.
"""

from dataclasses import dataclass

from accelerator_sim.accelerator import Accelerator
from egrl.validation.machines import machine


@dataclass(frozen=True, slots=True)
class Memory:
    """One memory of a system configuration.

    Attributes:
        bytes_per_cycle: of all its ports.
        burst_bytes: of a transfer.
        read_latency: cycles.
        write_latency: cycles.
        reads: in flight per port.
        writes: likewise.
        ports: that are used.
    """

    bytes_per_cycle: float
    burst_bytes: int
    read_latency: int
    write_latency: int
    reads: int
    writes: int
    ports: int = 1


@dataclass(frozen=True, slots=True)
class System:
    """One system configuration.

    Attributes:
        clock_hz: of the unit.
        sram: on the first port.
        outer: flash or DRAM on the second.
        flash: whether it is a flash.
    """

    clock_hz: float
    sram: Memory
    outer: Memory
    flash: bool = False


def _flash(share: float, width: int) -> Memory:
    return Memory(width * share, 128, 64, 0, 2, 1)


SYSTEMS: dict[str, System] = {
    "Ethos_U55_Deep_Embedded": System(
        200e6, Memory(8, 32, 32, 32, 8, 8), _flash(0.0625, 8), flash=True
    ),
    "Ethos_U55_High_End_Embedded": System(
        500e6, Memory(8, 32, 32, 32, 4, 4), _flash(0.125, 8), flash=True
    ),
    "Ethos_U65_Embedded": System(
        500e6, Memory(16, 32, 32, 32, 8, 8), _flash(0.0625, 16), flash=True
    ),
    "Ethos_U65_Mid_End": System(
        500e6, Memory(16, 32, 32, 32, 8, 8), Memory(7.5, 128, 500, 250, 12, 6)
    ),
    "Ethos_U65_High_End": System(
        1e9, Memory(16, 32, 32, 32, 16, 16), Memory(3.75, 128, 500, 250, 24, 12)
    ),
    "Ethos_U65_Client_Server": System(
        1e9, Memory(16, 32, 32, 32, 16, 16), Memory(12, 128, 500, 250, 24, 12)
    ),
    "Ethos_U85_SYS_DRAM_Low": System(
        500e6, Memory(32, 64, 16, 16, 8, 8, 2), Memory(7.5, 128, 500, 250, 24, 12)
    ),
    "Ethos_U85_SYS_DRAM_Mid": System(
        1e9, Memory(32, 64, 32, 32, 8, 8, 2), Memory(12, 128, 500, 250, 64, 32)
    ),
    "Ethos_U85_SYS_DRAM_High": System(
        1e9, Memory(64, 64, 32, 32, 8, 8, 4), Memory(24, 128, 500, 250, 64, 32, 2)
    ),
}

CACHE_BYTES: dict[str, int] = {
    "Dedicated_Sram_256KB": 256 << 10,
    "Dedicated_Sram_384KB": 384 << 10,
    "Dedicated_Sram_512KB": 512 << 10,
}
MODES = ("Sram_Only", "Shared_Sram", *CACHE_BYTES)

ADDRESSABLE_BYTES = 4 << 30


@dataclass(frozen=True, slots=True)
class Shram:
    """An Ethos-U55 or U65: pixels and channels of an engine, its banks, cycles per element."""

    height: int
    width: int
    channels: int
    engines: int
    banks: int
    input_granule: int
    sum_granule: int
    output: float
    add: float
    pooling: int = 4
    restart: int = 2
    kib: int = 48


@dataclass(frozen=True, slots=True)
class Grid:
    """An Ethos-U85: grids as text, decoders, buffers, cycles per element, read buffers.

    `reads` are the read buffers, in units of 16 bytes, of copies, weights, inputs and parameters.
    """

    rows: int
    columns: int
    grids: tuple[str, ...]
    decoders: int
    input_bytes: int
    sum_bytes: int
    output: float
    reads: tuple[int, int, int, int]


def _grid(extents: tuple[int, int, int], kinds: str, units: str) -> str:
    height, width, channels = extents
    named = {"c": "conv", "d": "depthwise", "p": "pooling"}
    listed = ", ".join(f'"{named[letter]}"' for letter in kinds)
    return (
        f"{{ height = {height}, width = {width}, channels = {channels}, "
        f"kinds = [{listed}], input_units = {units} }}"
    )


UNITS: dict[str, Shram | Grid] = {
    "ethos-u55-32": Shram(1, 1, 4, 1, 14, 2, 4, 2.0, 6.0, pooling=1, restart=3, kib=16),
    "ethos-u55-64": Shram(1, 1, 8, 1, 14, 2, 4, 1.0, 3.0, kib=16),
    "ethos-u55-128": Shram(1, 2, 8, 1, 20, 4, 8, 0.5, 1.5, kib=24),
    "ethos-u55-256": Shram(2, 2, 8, 1, 44, 8, 16, 0.25, 0.75),
    "ethos-u65-256": Shram(2, 2, 8, 1, 44, 8, 16, 0.25, 0.75),
    "ethos-u65-512": Shram(2, 2, 8, 2, 44, 8, 16, 0.125, 0.375),
    "ethos-u85-256": Grid(
        4,
        8,
        (
            _grid((1, 2, 16), "dp", "[[2, 2], [1, 2], [1, 1]]"),
            _grid((1, 4, 8), "c", "[[1, 4], [1, 2], [1, 1]]"),
            _grid((2, 2, 8), "c", "[[2, 2], [1, 2], [1, 1]]"),
        ),
        1,
        16384,
        16384,
        0.25,
        (104, 128, 128, 16),
    ),
    "ethos-u85-512": Grid(
        4,
        16,
        (
            _grid((2, 2, 16), "cdp", "[[2, 2], [1, 2], [1, 1]]"),
            _grid((1, 4, 16), "cdp", "[[1, 4], [1, 2], [1, 1]]"),
        ),
        2,
        16384,
        32768,
        0.125,
        (128, 256, 128, 16),
    ),
    "ethos-u85-1024": Grid(
        4,
        32,
        (
            _grid((2, 2, 32), "c", "[[2, 4], [2, 2], [1, 2]]"),
            _grid((1, 4, 32), "c", "[[2, 4], [1, 4], [1, 2]]"),
            _grid((2, 4, 16), "cdp", "[[2, 4], [2, 2], [1, 2]]"),
        ),
        4,
        16384,
        65536,
        0.0625,
        (256, 416, 256, 16),
    ),
    "ethos-u85-2048": Grid(
        4,
        64,
        (
            _grid((2, 2, 64), "c", "[[4, 4], [2, 4], [2, 2]]"),
            _grid((1, 4, 64), "c", "[[4, 4], [2, 4], [1, 4]]"),
            _grid((4, 4, 16), "cdp", "[[4, 4], [2, 4], [2, 2]]"),
        ),
        4,
        32768,
        131072,
        0.03125,
        (256, 512, 256, 16),
    ),
}


def ethos_machine(unit: str, system: str, mode: str) -> Accelerator:
    """An accelerator of Vela in a system configuration and memory mode.

    Args:
        unit: key of `UNITS`.
        system: key of `SYSTEMS`.
        mode: one of `MODES`.
    """
    return machine("ethos-u", values_of(unit, system, mode))


def values_of(unit: str, system_name: str, mode: str) -> tuple[tuple[str, object], ...]:
    """What the template of an Ethos-U takes."""
    system, array = SYSTEMS[system_name], UNITS[unit]
    clock = system.clock_hz
    if isinstance(array, Shram):
        buffer_bytes, output, add = array.kib * 1024, array.output, array.add
    else:
        buffer_bytes = array.input_bytes + array.sum_bytes
        output = add = array.output
    tiers = []
    cache = CACHE_BYTES.get(mode, ADDRESSABLE_BYTES)
    if mode != "Sram_Only":
        name = "flash" if system.flash else "DRAM"
        tiers.append(_tier(name, ADDRESSABLE_BYTES, system.outer, clock, array, mode))
    tiers.append(_tier("SRAM", cache, system.sram, clock, array, mode))
    return (
        ("name", unit),
        ("clock_hz", clock),
        ("buffer_bytes", buffer_bytes),
        ("array", _array(array, system)),
        ("lanes", 1 / output),
        ("add_rate", output / add),
        ("port_bytes_per_s", (system.sram.bytes_per_cycle + system.outer.bytes_per_cycle) * clock),
        ("tiers", "\n".join(tiers)),
    )


def _array(array: Shram | Grid, system: System) -> str:
    common = [
        "depth = 8",
        f'output_cycles = {{ value = {array.output}, source = "Vela" }}',
        f'bias_cycles = {{ value = {10 * system.sram.read_latency / 256}, source = "Vela" }}',
        f'write_latency_cycles = {{ value = {system.sram.write_latency}, source = "Vela" }}',
        f'port_bytes_per_cycle = {{ value = {system.sram.bytes_per_cycle}, source = "Vela" }}',
    ]
    if isinstance(array, Shram):
        own = [
            'dataflow = "ethos-u55"',
            f"rows = {array.height * array.width}",
            f"columns = {array.channels}",
            f"engines = {array.engines}",
            f"block_height = {array.height}",
            f"shram_banks = {array.banks}",
            f"input_granule_banks = {array.input_granule}",
            f"accumulator_granule_banks = {array.sum_granule}",
            f"pooling_cycles = {array.pooling}",
            f"restart_cycles = {array.restart}",
        ]
    else:
        own = [
            'dataflow = "ethos-u85"',
            f"rows = {array.rows}",
            f"columns = {array.columns}",
            f"grids = [{', '.join(array.grids)}]",
            f"weight_decoders = {array.decoders}",
            f"input_buffer_bytes = {array.input_bytes}",
            f"accumulator_buffer_bytes = {array.sum_bytes}",
        ]
    return "\n".join(own + common)


def _tier(
    name: str, capacity: int, memory: Memory, clock: float, array: Shram | Grid, mode: str
) -> str:
    rate = memory.bytes_per_cycle * clock
    lines = [
        "[[tiers]]",
        f'name = "{name}"',
        'scope = "shared"',
        f'capacity_bytes = {{ value = {capacity}, source = "Vela" }}',
        f'read_bytes_per_s = {{ value = {rate}, source = "Vela" }}',
        f'write_bytes_per_s = {{ value = {rate}, source = "Vela" }}',
        f'latency_s = {{ value = {memory.read_latency / clock}, source = "Vela" }}',
        'energy_j_per_byte = { value = 0, assumed = true, reason = "not compared" }',
        "alignment_bytes = 16",
        f"burst_bytes = {memory.burst_bytes}",
    ]
    if name == "flash":
        lines.append("read_only = true")
    if isinstance(array, Grid):
        streams = ", ".join(
            f'{stream} = {{ value = {bound * clock}, source = "Vela" }}'
            for stream, bound in stream_bounds(array, memory).items()
        )
        lines.append(f"stream_bytes_per_s = {{ {streams} }}")
    return "\n".join(lines)


def stream_bounds(array: Grid, memory: Memory) -> dict[str, float]:
    """Bytes a cycle of each kind of stream: bursts in flight over the latency, at 80 %."""

    def bound(in_flight: float, latency: int) -> float:
        return min(memory.bytes_per_cycle, memory.burst_bytes * in_flight / latency * 0.8)

    words = max(1, memory.burst_bytes // 16)
    reads, writes = memory.reads * memory.ports * 0.8, memory.writes * memory.ports * 0.8
    names = ("copy", "weights", "input", "parameters")
    bounds = {
        name: bound(min(buffer / words, reads), memory.read_latency)
        for name, buffer in zip(names, array.reads, strict=True)
    }
    return {**bounds, "output": bound(writes, max(1, memory.write_latency))}
