"""Random accelerators around the published ones: an archetype, perturbed and still valid.

Every number is drawn around its archetype's and says so as its reason. Tiers stay ordered: an inner
one is no larger and no slower than the one outside it.
"""

from functools import cache

import numpy as np
from msgspec.structs import replace

from accelerator_sim.accelerator import Accelerator
from accelerator_sim.mac_array import DotGrid, MacArray, WeightStationary
from accelerator_sim.quantity import Quantity
from accelerator_sim.targets import load_target
from accelerator_sim.targets.checks import problems_of
from accelerator_sim.tiling import HalfBuffer
from egrl.generator.draws import chance, log_uniform, pick
from egrl.generator.tiers import drawn_tiers, with_tiers
from graph_ir.errors import InputError

# Archetype to the family of accelerators that it belongs to; all have at least two tiers.
GROUPS: dict[str, str] = {
    "nnp-i": "nnp-i",
    "nnp-i-partitioned": "nnp-i",
    "nnp-i-1core": "nnp-i",
    "nnp-i-m2": "nnp-i",
    "tpu-v4i": "tpu",
    "tpu-v5e": "tpu",
    "nvdla-full": "nvdla",
    "hexagon-vtcm-8m": "hexagon",
    "ane-m4": "ane",
    "imxrt1170": "imxrt",
    "ethos-u55-128": "ethos-u",
    "ethos-u55-256": "ethos-u",
    "ethos-u65-512": "ethos-u",
    "ethos-u65-512-shared-sram": "ethos-u",
    "ethos-u85-512": "ethos-u",
    "ethos-u85-512-shared-sram": "ethos-u",
    "ethos-u85-2048": "ethos-u",
    "ethos-u85-2048-shared-sram": "ethos-u",
}

_CORES: dict[int, tuple[int, ...]] = {
    1: (1, 1, 1, 1, 2, 4),
    4: (2, 4, 4, 8),
    10: (6, 8, 10, 12),
    12: (4, 8, 10, 12, 12, 16),
    16: (8, 16, 16, 24),
}
_PREFETCH = (0, 1, 2, 4, 8, 8, 16)


def generate_accelerator(rng: np.random.Generator, archetype: str | None = None) -> Accelerator:
    """A random accelerator of 2 to 5 tiers that passes the checks of accelerator files.

    Args:
        rng: source of all randomness.
        archetype: a key of `GROUPS`; drawn where None, all families being equally likely.

    Raises:
        InputError: an unknown archetype.
    """
    if archetype is None:
        family = pick(rng, tuple(dict.fromkeys(GROUPS.values())))
        archetype = pick(rng, [name for name, group in GROUPS.items() if group == family])
    if archetype not in GROUPS:
        raise InputError(f"archetype {archetype}: unknown; expected one of {', '.join(GROUPS)}")
    base = _archetype(archetype)
    why = f"drawn around {archetype}"
    cores = pick(rng, _CORES[base.core_count])
    tiers = drawn_tiers(rng, base.tiers, cores, why)
    inner_bytes_per_s = max(tier.read_bytes_per_s.value for tier in tiers)
    links = base.interconnect
    bandwidth = log_uniform(rng, 0.5, 2)
    multicast = links.multicast if chance(rng, 0.85) else not links.multicast
    path = base.streaming.path
    if isinstance(base.tiling, HalfBuffer) and path == "ring" and chance(rng, 0.1):
        path = "direct"
    drawn = replace(
        base,
        name=f"{archetype}-drawn",
        description=f"Random accelerator {why}",
        approximate=["every number is drawn"],
        published_peak=None,
        clock_hz=_assumed(base.clock_hz.value * log_uniform(rng, 0.5, 2), why),
        cores=_assumed(cores, why),
        mac_array=_array(rng, base),
        tile_buffer_bytes=_tile_buffer(rng, base, why),
        launch_overhead_s=_assumed(base.launch_overhead_s.value * log_uniform(rng, 0.25, 4), why),
        interconnect=replace(
            links,
            bytes_per_s=_assumed(links.bytes_per_s.value * bandwidth, why),
            port_bytes_per_s=_assumed(
                max(links.port_bytes_per_s.value * bandwidth, inner_bytes_per_s / 16), why
            ),
            multicast=multicast,
        ),
        streaming=replace(
            base.streaming,
            path=path,
            prefetch_ops=base.streaming.prefetch_ops if path == "direct" else pick(rng, _PREFETCH),
        ),
    )
    return checked(with_tiers(drawn, tiers))


def checked(accelerator: Accelerator) -> Accelerator:
    """The same accelerator; an invalid one is a mistake of the generator.

    Raises:
        AssertionError: naming the key.
    """
    for key, problem in problems_of(accelerator):
        raise AssertionError(f"generated {accelerator.name}: {key}: {problem}")
    return accelerator


def execution_types(accelerator: Accelerator) -> tuple[str, ...]:
    """The types in which a whole model can be executed, the default one first."""
    array = accelerator.mac_array
    return tuple(
        name
        for name in dict.fromkeys((accelerator.default_type, "fp16", "int8"))
        if name in accelerator.vector_unit.lanes
        and (array is None or f"{name}*{name}" in array.relative_rate)
    )


@cache
def _archetype(name: str) -> Accelerator:
    return load_target(name)


def _assumed(value: float, why: str) -> Quantity:
    return Quantity(value=value, assumed=True, reason=why)


def _array(rng: np.random.Generator, base: Accelerator) -> MacArray | None:
    """A grid of half to twice the multipliers; the units of other dataflows are kept as built."""
    array = base.mac_array
    if not isinstance(array, DotGrid):
        return array
    rows = pick(rng, (array.rows // 2, array.rows, array.rows, array.rows * 2))
    columns = pick(rng, (array.columns // 2, array.columns, array.columns, array.columns * 2))
    return replace(array, rows=max(1, rows), columns=max(1, columns))


def _tile_buffer(rng: np.random.Generator, base: Accelerator, why: str) -> Quantity:
    """Half to four times as much, where the matrix unit does not say how it is used."""
    if not isinstance(base.mac_array, DotGrid | WeightStationary):
        return base.tile_buffer_bytes
    return _assumed(round(base.tile_buffer_bytes.value * log_uniform(rng, 0.5, 4)), why)
