"""The numbers of an accelerator that may be varied, by name.

`SRAM.capacity_bytes`, `DRAM.read_bytes_per_s`, `DRAM.bandwidth` (reads and writes together),
`clock_hz`, `interconnect.bytes_per_s`, ...: the keys of the TOML file, a tier named instead of
numbered.
"""

from dataclasses import dataclass
from typing import Literal

import msgspec

from accelerator_sim.accelerator import Accelerator, Interconnect, Streaming, Tier
from accelerator_sim.quantity import Quantity
from accelerator_sim.targets.checks import problems_of
from graph_ir.errors import InputError
from graph_ir.text import quoted

Unit = Literal["bytes", "bytes_per_s", "seconds", "hertz", "count"]

BANDWIDTH = "bandwidth"

TIER_KEYS: dict[str, Unit] = {
    "capacity_bytes": "bytes",
    "read_bytes_per_s": "bytes_per_s",
    "write_bytes_per_s": "bytes_per_s",
    BANDWIDTH: "bytes_per_s",
    "latency_s": "seconds",
}
WHOLE_KEYS: dict[str, Unit] = {
    "clock_hz": "hertz",
    "cores": "count",
    "tile_buffer_bytes": "bytes",
    "launch_overhead_s": "seconds",
}
INTERCONNECT_KEYS: dict[str, Unit] = {
    "bytes_per_s": "bytes_per_s",
    "port_bytes_per_s": "bytes_per_s",
}
STREAMING_KEYS: dict[str, Unit] = {
    "prefetch_ops": "count",
    "slice_bytes": "bytes",
    "staging_bytes": "bytes",
}

MAY_BE_ZERO = ("latency_s", "launch_overhead_s", "streaming.prefetch_ops")
"""What a machine can be without; everything else must be above 0."""


@dataclass(frozen=True, slots=True)
class Key:
    """One number of an accelerator.

    Attributes:
        text: as it was given, `SRAM.capacity_bytes`.
        owner: name of a tier, `interconnect`, `streaming`, or "" for the accelerator itself.
        field: of the owner.
        unit: of its values.
    """

    text: str
    owner: str
    field: str
    unit: Unit

    @property
    def may_be_zero(self) -> bool:
        """Whether 0 is a value."""
        return self.text in MAY_BE_ZERO or (self.field == "latency_s" and self.owner != "")

    @property
    def is_whole(self) -> bool:
        """Whether the value must be a whole number."""
        return self.unit in ("bytes", "count")


def parse_key(accelerator: Accelerator, text: str) -> Key:
    """Find a number by its name.

    Raises:
        InputError: the accelerator has no such number.
    """
    owner, _, name = text.rpartition(".")
    tiers = [tier.name for tier in accelerator.tiers]
    known = dict.fromkeys(tiers, TIER_KEYS)
    known |= {"": WHOLE_KEYS, "interconnect": INTERCONNECT_KEYS, "streaming": STREAMING_KEYS}
    unit = known.get(owner, {}).get(name)
    if unit is None:
        if owner in known:
            prefix = f"{owner}." if owner else ""
            keys = [prefix + key for key in known[owner]]
            if not owner:
                keys += [f"{tier}.{BANDWIDTH}" for tier in tiers] + ["dim:NAME", "batch"]
        else:
            keys = [f"{name}.*" if name else "clock_hz" for name in known]
        raise InputError(
            f"{quoted(text)}: {accelerator.name} has no such number to vary; expected one of "
            f"{', '.join(keys)}"
        )
    return Key(text, owner, name, unit)


def value_of(accelerator: Accelerator, key: Key) -> float:
    """What the accelerator has there; reads, where reads and writes are varied together."""
    field = "read_bytes_per_s" if key.field == BANDWIDTH else key.field
    found = getattr(_owner(accelerator, key), field)
    return float(found.value if isinstance(found, Quantity) else found)


def with_value(accelerator: Accelerator, key: Key, value: float) -> Accelerator:
    """The accelerator with another number there; reads and writes of a bandwidth keep their ratio.

    Raises:
        InputError: an accelerator like that could not be loaded from a file either.
    """
    # What a vendor published of the machine as it is says nothing of another one.
    changed = msgspec.structs.replace(_replaced(accelerator, key, value), published_peak=None)
    for where, problem in problems_of(changed):
        raise InputError(f"{key.text} = {value:g}: {where}: {problem}")
    return changed


def _owner(accelerator: Accelerator, key: Key) -> Accelerator | Interconnect | Streaming | Tier:
    for tier in accelerator.tiers:
        if tier.name == key.owner:
            return tier
    if key.owner == "interconnect":
        return accelerator.interconnect
    return accelerator.streaming if key.owner == "streaming" else accelerator


def _replaced(accelerator: Accelerator, key: Key, value: float) -> Accelerator:
    owner = _owner(accelerator, key)
    if isinstance(owner, Streaming):
        streaming = msgspec.structs.replace(owner, **{key.field: int(value)})
        return msgspec.structs.replace(accelerator, streaming=streaming)
    numbers = {key.field: value}
    if key.field == BANDWIDTH:
        scale = value / value_of(accelerator, key)
        assert isinstance(owner, Tier)
        numbers = {
            "read_bytes_per_s": value,
            "write_bytes_per_s": owner.write_bytes_per_s.value * scale,
        }
    fields = {name: _varied(getattr(owner, name), number) for name, number in numbers.items()}
    if isinstance(owner, Accelerator):
        return msgspec.structs.replace(accelerator, **fields)
    if isinstance(owner, Interconnect):
        return msgspec.structs.replace(
            accelerator, interconnect=msgspec.structs.replace(owner, **fields)
        )
    tiers = [
        msgspec.structs.replace(tier, **fields) if tier.name == owner.name else tier
        for tier in accelerator.tiers
    ]
    return msgspec.structs.replace(accelerator, tiers=tiers)


def _varied(quantity: Quantity, value: float) -> Quantity:
    if quantity.value == value:
        return quantity
    return Quantity(value, assumed=True, reason=f"varied from {quantity.value:g}")
