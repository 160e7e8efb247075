"""Memories of a random accelerator: fewer or more, other sizes and speeds, still ordered."""

from collections.abc import Sequence
from math import sqrt

import numpy as np
from msgspec.structs import replace

from accelerator_sim.accelerator import Accelerator, Tier
from accelerator_sim.quantity import Quantity
from egrl.generator.draws import chance, log_uniform, pick

MOST_TIERS = 5
SMALLEST_TIER_BYTES = 16384
"""Per core; a plan of smaller ones would be all staging."""

_MODES = (["replicated"], ["partitioned"], ["replicated", "partitioned"])
_STAGING_SHARE = 4
"""The ring takes at most one part in this many of the innermost tier."""

LARGEST_ALIGNMENT = 512
"""Of the archetypes' memories; capacities and rings are whole multiples of it."""


def drawn_tiers(
    rng: np.random.Generator, tiers: Sequence[Tier], cores: int, why: str
) -> list[Tier]:
    """Tiers around the given ones, from outermost to innermost; not ordered yet.

    Args:
        rng: source of all randomness.
        tiers: of the archetype, at least two.
        cores: of the accelerator.
        why: the reason of every number.
    """
    found = [_perturbed(rng, tier, at == 0, why) for at, tier in enumerate(tiers)]
    draw = rng.random()
    if draw < 0.2 and len(found) > 2:
        del found[1 + int(rng.integers(len(found) - 2))]
    elif draw < 0.5:
        for _ in range(pick(rng, (1, 1, 1, 2, 3))):
            if len(found) < MOST_TIERS:
                _insert(rng, found, why)
    return [_with_modes(rng, tier, at == len(found) - 1, cores, why)
            for at, tier in enumerate(found)]  # fmt: skip


def with_tiers(accelerator: Accelerator, tiers: Sequence[Tier]) -> Accelerator:
    """The accelerator with these tiers, made ordered, and a staging ring that fits them."""
    cores = accelerator.core_count
    ordered = _ordered(tiers, cores)
    inner_bytes = int(ordered[-1].capacity_bytes.value)
    s = accelerator.streaming
    staging = _whole(min(s.staging_bytes, inner_bytes // _STAGING_SHARE), 2 * LARGEST_ALIGNMENT)
    sliced = min(s.slice_bytes, _whole(staging // 2, LARGEST_ALIGNMENT))
    return replace(
        accelerator,
        tiers=ordered,
        streaming=replace(
            s, staging_bytes=staging, slice_bytes=sliced, source="", assumed=True,
            reason="as its archetype, at most a quarter of the innermost tier",
        ),
    )  # fmt: skip


def _perturbed(rng: np.random.Generator, tier: Tier, outermost: bool, why: str) -> Tier:
    """The outermost tier is never made smaller: what it cannot hold cannot be executed."""
    capacity = log_uniform(rng, 1 if outermost else 0.25, 4)
    speed = log_uniform(rng, 0.25, 4)
    writes = 1.0 if chance(rng, 0.7) else log_uniform(rng, 0.5, 1)
    bounds = {
        stream: _assumed(bound.value * speed, why)
        for stream, bound in tier.stream_bytes_per_s.items()
    }
    return replace(
        tier,
        capacity_bytes=_assumed(round(tier.capacity_bytes.value * capacity), why),
        read_bytes_per_s=_assumed(tier.read_bytes_per_s.value * speed, why),
        write_bytes_per_s=_assumed(tier.write_bytes_per_s.value * speed * writes, why),
        latency_s=_assumed(tier.latency_s.value * log_uniform(rng, 0.5, 2), why),
        ports=tier.ports if chance(rng, 0.85) else pick(rng, ("shared", "separate")),
        stream_bytes_per_s=bounds,
    )


def _insert(rng: np.random.Generator, tiers: list[Tier], why: str) -> None:
    """One more tier: between two, outside of all, or a small one inside."""
    draw = rng.random()
    if draw < 0.5:
        at = int(rng.integers(len(tiers) - 1))
        outer, inner = tiers[at], tiers[at + 1]
        tiers.insert(
            at + 1,
            _scaled(
                inner, f"MID{len(tiers)}", why,
                capacity=_between(rng, outer.capacity_bytes.value, inner.capacity_bytes.value),
                speed=_between(rng, outer.read_bytes_per_s.value, inner.read_bytes_per_s.value),
                latency=sqrt(outer.latency_s.value * max(1e-9, inner.latency_s.value)),
            ),
        )  # fmt: skip
        tiers[at + 1] = replace(tiers[at + 1], scope="shared", weight_modes=[], activation_modes=[])
    elif draw < 0.75 and not tiers[0].read_only:
        first = tiers[0]
        tiers.insert(
            0,
            _scaled(
                first, f"FAR{len(tiers)}", why,
                capacity=first.capacity_bytes.value * log_uniform(rng, 2, 16),
                speed=first.read_bytes_per_s.value / log_uniform(rng, 2, 8),
                latency=first.latency_s.value * log_uniform(rng, 1, 8),
            ),
        )  # fmt: skip
    else:
        last = tiers[-1]
        tiers.append(
            _scaled(
                last, f"NEAR{len(tiers)}", why,
                capacity=last.capacity_bytes.value / log_uniform(rng, 3, 16),
                speed=last.read_bytes_per_s.value * log_uniform(rng, 1.5, 6),
                latency=last.latency_s.value / log_uniform(rng, 1, 4),
            ),
        )  # fmt: skip
        if tiers[-2].scope == "per-core" and "partitioned" in tiers[-2].weight_modes:
            tiers[-2] = replace(tiers[-2], weight_modes=["replicated"])


def _scaled(
    tier: Tier, name: str, why: str, *, capacity: float, speed: float, latency: float
) -> Tier:
    return replace(
        tier,
        name=name,
        read_only=False,
        capacity_bytes=_assumed(round(capacity), why),
        read_bytes_per_s=_assumed(speed, why),
        write_bytes_per_s=_assumed(speed, why),
        latency_s=_assumed(latency, why),
        stream_bytes_per_s={},
    )


def _with_modes(
    rng: np.random.Generator, tier: Tier, innermost: bool, cores: int, why: str
) -> Tier:
    """Now and then a shared innermost tier becomes a private one of each core, or other modes."""
    if tier.scope == "shared":
        if not innermost or cores == 1 or not chance(rng, 0.35):
            return tier
        tier = replace(
            tier,
            scope="per-core",
            capacity_bytes=_assumed(max(1, round(tier.capacity_bytes.value / cores)), why),
            read_bytes_per_s=_assumed(tier.read_bytes_per_s.value / cores, why),
            write_bytes_per_s=_assumed(tier.write_bytes_per_s.value / cores, why),
            weight_modes=["replicated"],
            activation_modes=["replicated"],
            stream_bytes_per_s={},
        )
    elif chance(rng, 0.5):
        return tier
    weights = pick(rng, _MODES) if innermost else ["replicated"]
    return replace(tier, weight_modes=weights, activation_modes=pick(rng, _MODES))


def _ordered(tiers: Sequence[Tier], cores: int) -> list[Tier]:
    """Inner tiers cut to the size of the one outside, and raised to its speed."""
    found: list[Tier] = []
    for tier in tiers:
        share = cores if tier.scope == "per-core" else 1
        capacity = max(SMALLEST_TIER_BYTES, tier.capacity_bytes.value)
        speed, writes = tier.read_bytes_per_s.value, tier.write_bytes_per_s.value
        latency = tier.latency_s.value
        if found:
            outer = found[-1]
            outside = cores if outer.scope == "per-core" else 1
            capacity = min(capacity, outer.capacity_bytes.value)
            speed = max(speed, outer.read_bytes_per_s.value * outside / share * _ORDER_MARGIN)
            writes = max(writes, outer.write_bytes_per_s.value * outside / share * _ORDER_MARGIN)
            latency = min(latency, outer.latency_s.value)
        why = tier.capacity_bytes.reason
        found.append(
            replace(
                tier,
                capacity_bytes=_assumed(_whole(capacity, LARGEST_ALIGNMENT), why),
                read_bytes_per_s=_assumed(speed, why),
                write_bytes_per_s=_assumed(writes, why),
                latency_s=_assumed(latency, why),
            )
        )
    return found


_ORDER_MARGIN = 1.000001
"""Rounding never turns the order of two equal speeds."""


def _between(rng: np.random.Generator, one: float, other: float) -> float:
    """Somewhere in the middle half of the way, on a logarithmic scale."""
    part = rng.uniform(0.3, 0.7)
    return float(one**part * other ** (1 - part))


def _whole(value: float, quantum: int) -> int:
    """Rounded down to a multiple, of which there is at least one."""
    return max(1, int(value) // quantum) * quantum


def _assumed(value: float, why: str) -> Quantity:
    return Quantity(value=value, assumed=True, reason=why)
