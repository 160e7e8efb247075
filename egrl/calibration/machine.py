"""The accelerator that describes a computer's processor, from the rates that were measured on it.

One core of a processor is described as a grid of one row and two vectors of columns (two
multiply-add pipes), beside a vector unit of one vector. What instruction throughput does not
explain is in the rates by op family: they say how much of that peak onnxruntime's kernels reach.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from accelerator_sim.accelerator import (
    Accelerator,
    Energy,
    Interconnect,
    Streaming,
    Tier,
    VectorUnit,
)
from accelerator_sim.mac_array import DotGrid
from accelerator_sim.quantity import Quantity
from accelerator_sim.targets.checks import TARGET_SCHEMA

NAME = "host-cpu"

UNMEASURED_ENERGY = Quantity(0.0, assumed=True, reason="energy is not measured")

_VECTOR_BYTES = {"avx512f": 64, "avx2": 32, "asimd": 16}
"""Flags of /proc/cpuinfo, widest first, to the width of a vector register."""


@dataclass(frozen=True, slots=True)
class Level:
    """A level of the memory hierarchy, as the cores that compute see it.

    Attributes:
        capacity_bytes: of it.
        read_bytes_per_s: sustained.
        write_bytes_per_s: sustained.
    """

    capacity_bytes: Quantity
    read_bytes_per_s: Quantity
    write_bytes_per_s: Quantity


@dataclass(frozen=True, slots=True)
class HostRates:
    """What was measured.

    Attributes:
        clock_hz: of the core while it computes.
        vector_bytes: of a register.
        launch_s: per op.
        mac_rate: speed of a family relative to the peak of its arithmetic.
        int8_rate: peak of int8 products relative to fp32's, or None where it was not measured.
        vector_rate: speed of a family relative to one vector operation a cycle.
        memory: beyond the caches.
        cache: the last-level cache.
        tile_buffer_bytes: what an op may use to keep operands beside the core.
        cores: that share an op.
    """

    clock_hz: Quantity
    vector_bytes: int
    launch_s: Quantity
    mac_rate: Mapping[str, Quantity]
    int8_rate: Quantity | None
    vector_rate: Mapping[str, Quantity]
    memory: Level
    cache: Level
    tile_buffer_bytes: Quantity
    cores: int = 1

    @property
    def lanes(self) -> int:
        """fp32 numbers in a vector."""
        return self.vector_bytes // 4


def vector_bytes(cpuinfo: Path = Path("/proc/cpuinfo")) -> int:
    """Width of a vector register by the processor's flags; 16 where they are not known."""
    if cpuinfo.exists():
        for line in cpuinfo.read_text("utf-8").splitlines():
            if line.startswith(("flags", "Features")):
                flags = line.split()
                return next((w for flag, w in _VECTOR_BYTES.items() if flag in flags), 16)
    return 16


def host_accelerator(rates: HostRates, description: str, serial_units: bool = True) -> Accelerator:
    """The accelerator of a computer.

    Args:
        rates: measured.
        description: one line.
        serial_units: False where the matrix unit's rates hold all of an op's time.
    """
    zero = UNMEASURED_ENERGY
    relative = {"fp32*fp32": Quantity(1.0, source="two multiply-adds of a vector a cycle")}
    if rates.int8_rate is not None:
        relative["int8*int8"] = rates.int8_rate
    width = f"a vector register of {rates.vector_bytes} bytes (flags of the processor)"
    fp32 = Quantity(rates.lanes, source=width)
    lanes = dict.fromkeys(("fp32", "int32", "int64", "int8", "bool"), fp32)
    cores = Quantity(rates.cores, source="threads that onnxruntime was given")
    plenty = Quantity(1e15, assumed=True, reason="cores of one processor: there is no such wire")
    return Accelerator(
        schema=TARGET_SCHEMA,
        name=NAME,
        description=description,
        approximate=[
            "onnxruntime executes one op after the other, each at the rate of its family",
            "the cache is managed by the hardware, not by the plan: egrl/calibration/predict.py "
            "says what lies in it",
        ],
        clock_hz=rates.clock_hz,
        cores=cores,
        default_type="fp32",
        vector_unit=VectorUnit(lanes, dict(rates.vector_rate)),
        tile_buffer_bytes=rates.tile_buffer_bytes,
        launch_overhead_s=rates.launch_s,
        tiers=[_tier("RAM", rates.memory), _tier("CACHE", rates.cache)],
        interconnect=Interconnect(bytes_per_s=plenty, port_bytes_per_s=plenty, multicast=True),
        streaming=Streaming(
            prefetch_ops=0,
            slice_bytes=65536,
            staging_bytes=131072,
            assumed=True,
            reason="the processor prefetches within an op, not across ops",
        ),
        serial_units=serial_units,
        energy=Energy(mac_j=dict.fromkeys(relative, zero), vector_op_j=zero, leakage_w=zero),
        mac_array=DotGrid(
            rows=1,
            columns=2 * rates.lanes,
            depth=1,
            full_rate_type="fp32",
            relative_rate=relative,
            family_rate=dict(rates.mac_rate),
            source=f"two multiply-add pipes, each of {width}",
        ),
    )


def _tier(name: str, level: Level) -> Tier:
    return Tier(
        name=name,
        scope="shared",
        capacity_bytes=level.capacity_bytes,
        read_bytes_per_s=level.read_bytes_per_s,
        write_bytes_per_s=level.write_bytes_per_s,
        latency_s=Quantity(0.0, assumed=True, reason="part of the launch of an op"),
        energy_j_per_byte=UNMEASURED_ENERGY,
    )
