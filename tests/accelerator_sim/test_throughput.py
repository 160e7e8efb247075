"""Throughput mode, by arithmetic on paper and against latency mode."""

import numpy as np
import pytest
from msgspec.structs import replace

from accelerator_sim.accelerator import Accelerator
from accelerator_sim.engine import evaluate
from accelerator_sim.problem import build_problem
from accelerator_sim.reference_engine import simulate
from accelerator_sim.targets import load_target
from accelerator_sim.throughput import grouped
from egrl.bench.random_graphs import random_workload
from graph_ir.errors import InputError
from graph_ir.workload import TensorKind
from tests.accelerator_sim.machines import quantity, scaled


def test_groups_divide_the_cores() -> None:
    chip = load_target("nnp-i")
    assert grouped(chip, 1) == chip
    assert grouped(chip, 4).core_count == 3
    for groups in (0, -1, 5, 24):
        with pytest.raises(InputError, match="groups: expected one of 1, 2, 3, 4, 6, 12"):
            grouped(chip, groups)


def test_groups_share_what_is_shared() -> None:
    """As one core whose shared memories and ring are slower by the number of groups."""
    chip = load_target("nnp-i")
    many = grouped(chip, 12)

    def slower(a: Accelerator) -> Accelerator:
        tiers = [
            tier
            if tier.scope == "per-core"
            else replace(
                tier,
                read_bytes_per_s=scaled(tier.read_bytes_per_s, 1 / 12),
                write_bytes_per_s=scaled(tier.write_bytes_per_s, 1 / 12),
            )
            for tier in a.tiers
        ]
        ring = replace(a.interconnect, bytes_per_s=scaled(a.interconnect.bytes_per_s, 1 / 12))
        return replace(a, cores=quantity(1), tiers=tiers, interconnect=ring)

    workload = random_workload(40, np.random.default_rng(5))
    shared, alone = build_problem(workload, many), build_problem(workload, slower(chip))
    rng = np.random.default_rng(0)
    for _ in range(20):
        homes_T = np.array([rng.choice(np.flatnonzero(row)) for row in shared.allowed_TH], np.int8)
        assert evaluate(shared, homes_T)[0] == pytest.approx(evaluate(alone, homes_T)[0], rel=1e-9)


def test_every_group_has_its_own_activations_but_weights_are_shared() -> None:
    chip = load_target("nnp-i")
    workload = random_workload(10, np.random.default_rng(1))
    size_TH = build_problem(workload, grouped(chip, 4)).arrays.size_bytes_TH
    for t, tensor in enumerate(workload.tensors):
        if tensor.alias_of is None:
            copies = 1 if tensor.kind is TensorKind.WEIGHT else 4
            shared = -(-tensor.size_bytes * copies // 64) * 64
            own = -(-tensor.size_bytes // 64) * 64
            assert size_TH[t].tolist() == [shared, shared, own]


def test_leakage_is_shared_by_the_inferences_under_way() -> None:
    chip = load_target("nnp-i")
    workload = random_workload(10, np.random.default_rng(1))
    leaky = replace(chip, energy=replace(chip.energy, leakage_w=quantity(8.0)))
    dry = replace(chip, energy=replace(chip.energy, leakage_w=quantity(0.0)))
    homes = [0] * len(workload.tensors)
    with_it = simulate(build_problem(workload, grouped(leaky, 4)), homes)
    without = simulate(build_problem(workload, grouped(dry, 4)), homes)
    assert with_it.energy_j - without.energy_j == pytest.approx(2.0 * with_it.latency_s)
