"""Generated accelerators are valid, ordered, varied, and the same for the same seed."""

from itertools import pairwise

import msgspec
import numpy as np
import pytest

from accelerator_sim.accelerator import Accelerator, homes_of
from accelerator_sim.targets import TARGETS, load_target
from accelerator_sim.targets.checks import problems_of
from egrl.generator.accelerators import GROUPS, execution_types, generate_accelerator
from egrl.generator.tiers import MOST_TIERS, SMALLEST_TIER_BYTES
from graph_ir.errors import InputError

MANY = 250


def _many() -> list[Accelerator]:
    return [generate_accelerator(np.random.default_rng(seed)) for seed in range(MANY)]


def test_all_are_valid_and_ordered() -> None:
    for accelerator in _many():
        assert list(problems_of(accelerator)) == []
        tiers, cores = accelerator.tiers, accelerator.core_count
        assert 2 <= len(tiers) <= MOST_TIERS
        assert tiers[0].scope == "shared"
        for outer, inner in pairwise(tiers):
            wide = cores if inner.scope == "per-core" else 1
            wide_outside = cores if outer.scope == "per-core" else 1
            for key in ("read_bytes_per_s", "write_bytes_per_s"):
                inside, outside = getattr(inner, key).value, getattr(outer, key).value
                assert inside * wide >= outside * wide_outside
            assert SMALLEST_TIER_BYTES <= inner.capacity_bytes.value <= outer.capacity_bytes.value
            assert inner.latency_s.value <= outer.latency_s.value
            assert not inner.read_only
        if accelerator.streaming.path == "ring":
            inner_bytes = tiers[-1].capacity_bytes.value
            assert accelerator.streaming.staging_bytes <= inner_bytes / 4
        assert accelerator.published_peak is None


def test_they_are_varied() -> None:
    drawn = _many()
    assert {len(a.tiers) for a in drawn} == set(range(2, MOST_TIERS + 1))
    assert {a.interconnect.multicast for a in drawn} == {False, True}
    assert {a.streaming.path for a in drawn} == {"ring", "direct"}
    assert len({a.streaming.prefetch_ops for a in drawn}) >= 5
    assert len({a.core_count for a in drawn}) >= 6
    modes = {home.mode for a in drawn for home in homes_of(a)}
    assert modes == {"shared", "replicated", "partitioned"}
    kept = {tuple(a.tiers[-1].weight_modes) for a in drawn}
    assert len(kept) == 4
    inner = np.array([a.tiers[-1].capacity_bytes.value for a in drawn])
    assert inner.max() / inner.min() > 500


def test_the_outermost_tier_is_never_smaller_than_the_archetypes() -> None:
    for name in GROUPS:
        published = load_target(name).tiers[0].capacity_bytes.value
        for seed in range(5):
            drawn = generate_accelerator(np.random.default_rng(seed), name)
            assert drawn.tiers[0].capacity_bytes.value >= published


def test_groups_are_the_targets_with_several_tiers() -> None:
    several = {name for name in TARGETS if len(load_target(name).tiers) > 1}
    assert set(GROUPS) == several
    assert len(set(GROUPS.values())) >= 5


def test_every_archetype_can_execute_its_default_type() -> None:
    for name in GROUPS:
        drawn = generate_accelerator(np.random.default_rng(1), name)
        assert drawn.name == f"{name}-drawn"
        assert execution_types(drawn)[0] == load_target(name).default_type


def test_the_same_seed_gives_the_same_accelerator() -> None:
    for seed in range(20):
        one, two = (
            msgspec.json.encode(generate_accelerator(np.random.default_rng(seed))) for _ in range(2)
        )
        assert one == two
    texts = {
        msgspec.json.encode(generate_accelerator(np.random.default_rng(seed))) for seed in range(20)
    }
    assert len(texts) == 20


def test_an_unknown_archetype() -> None:
    with pytest.raises(InputError, match="archetype abacus: unknown; expected one of nnp-i, "):
        generate_accelerator(np.random.default_rng(0), "abacus")
