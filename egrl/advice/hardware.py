"""Changes of the machine: more capacity, more bandwidth."""

from collections.abc import Iterator
from dataclasses import dataclass

from accelerator_sim.accelerator import Accelerator
from accelerator_sim.units import bytes_text
from egrl.sweep.keys import BANDWIDTH, Key, parse_key, value_of, with_value
from graph_ir.errors import InputError

CAPACITY_STEPS = (0.25, 1.0)
"""How much more of a memory, from the least; the least that brings nearly as much is advised."""

BANDWIDTH_STEPS = (0.5,)


@dataclass(frozen=True, slots=True)
class HardwareChange:
    """Another machine.

    Attributes:
        kind: `capacity` or `bandwidth`.
        key: what is changed; changes of one key are alternatives.
        text: for people.
        accelerator: the machine.
    """

    kind: str
    key: str
    text: str
    accelerator: Accelerator


def hardware_changes(accelerator: Accelerator) -> Iterator[HardwareChange]:
    """All changes that are tried, from the outermost memory to the innermost."""
    tiers = accelerator.tiers
    for tier in tiers[1:]:
        key = parse_key(accelerator, f"{tier.name}.capacity_bytes")
        for step in CAPACITY_STEPS:
            extra = int(value_of(accelerator, key) * step)
            per_core = (
                " per core" if tier.scope == "per-core" and accelerator.core_count > 1 else ""
            )
            text = f"{bytes_text(extra)} more {tier.name}{per_core}"
            yield from _change("capacity", accelerator, key, 1 + step, text)
    for tier in tiers:
        key = parse_key(accelerator, f"{tier.name}.{BANDWIDTH}")
        for step in BANDWIDTH_STEPS:
            text = f"+{100 * step:.0f} % {tier.name} bandwidth"
            yield from _change("bandwidth", accelerator, key, 1 + step, text)
    if accelerator.core_count > 1:
        key = parse_key(accelerator, "interconnect.bytes_per_s")
        for step in BANDWIDTH_STEPS:
            text = f"+{100 * step:.0f} % interconnect bandwidth"
            yield from _change("bandwidth", accelerator, key, 1 + step, text)


def _change(
    kind: str, accelerator: Accelerator, key: Key, factor: float, text: str
) -> Iterator[HardwareChange]:
    value = value_of(accelerator, key) * factor
    try:
        changed = with_value(accelerator, key, float(int(value)) if key.is_whole else value)
    except InputError:
        return  # An outer memory would be faster than an inner one: no machine to advise.
    yield HardwareChange(kind, key.text, text, changed)
