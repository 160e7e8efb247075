"""Random graphs on variations of shipped targets: what no simulator may break."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from accelerator_sim.accelerator import Accelerator, Home
from accelerator_sim.detailed import IDEAL, DetailedModel, DetailedParameters, simulate_detailed
from accelerator_sim.engine import evaluate
from accelerator_sim.problem import PlacementProblem, build_problem
from accelerator_sim.targets import load_target
from egrl.bench.random_graphs import random_workload
from egrl.bench.ranking import judge, rank_correlation
from egrl.placers.random_search import random_homes
from tests.accelerator_sim.machines import quantity

TARGETS = ("nnp-i", "nnp-i-partitioned", "hexagon-vtcm-8m")
ANOMALY = 0.98
"""Arbitration decides otherwise when a request arrives a little later, which may save a little."""


def case(seed: int, target: str, ops: int = 8) -> tuple[PlacementProblem, list[Home], list[int]]:
    machine = load_target(target)
    rng = np.random.default_rng(seed)
    problem = build_problem(random_workload(ops, rng, machine.default_type), machine)
    homes_T = random_homes(problem, 1, rng)[0].tolist()
    return problem, [problem.homes[home] for home in homes_T], homes_T


def slower_tier(machine: Accelerator, index: int, factor: float) -> Accelerator:
    tiers = list(machine.tiers)
    rate = tiers[index].read_bytes_per_s.value / factor
    tiers[index] = replace(
        tiers[index], read_bytes_per_s=quantity(rate), write_bytes_per_s=quantity(rate)
    )
    return replace(machine, tiers=tiers)


seeds = st.integers(0, 10_000)


@given(seed=seeds, target=st.sampled_from(TARGETS), tier=st.integers(0, 1))
@settings(max_examples=12)
def test_less_bandwidth_is_never_faster(seed, target, tier):
    problem, homes, _ = case(seed, target)
    before = simulate_detailed(problem.workload, problem.accelerator, homes, IDEAL)
    slower = slower_tier(problem.accelerator, tier, 3.0)
    after = simulate_detailed(problem.workload, slower, homes, IDEAL)
    assert after.latency_s >= ANOMALY * before.latency_s


@given(seed=seeds, target=st.sampled_from(TARGETS))
@settings(max_examples=12)
def test_a_slower_clock_is_never_faster(seed, target):
    problem, homes, _ = case(seed, target)
    machine = problem.accelerator
    before = simulate_detailed(problem.workload, machine, homes, IDEAL)
    slower = replace(machine, clock_hz=quantity(machine.clock_hz.value / 2))
    after = simulate_detailed(problem.workload, slower, homes, IDEAL)
    assert after.latency_s >= ANOMALY * before.latency_s


@given(seed=seeds, target=st.sampled_from(TARGETS))
@settings(max_examples=12)
def test_never_below_what_the_units_and_memories_need(seed, target):
    problem, homes, _ = case(seed, target)
    machine, load = problem.accelerator, problem.workload
    result = simulate_detailed(load, machine, homes)
    array = machine.mac_array
    assert array is not None
    peak = machine.core_count * array.macs_per_cycle * machine.clock_hz.value
    peak *= max(rate.value for rate in array.relative_rate.values())
    assert result.latency_s >= load.macs / peak
    moved = sum(
        load.tensors[o.tensor].size_bytes if not o.is_write else 0
        for op in load.ops
        for o in op.operands
        if homes[o.tensor].tier == 0 and o.traffic_bytes >= load.tensors[o.tensor].size_bytes
    )
    assert result.latency_s >= moved / machine.tiers[0].read_bytes_per_s.value * 0.999
    assert max(result.busy_s) <= result.latency_s * (1 + 1e-9)
    assert list(result.op_end_s) == sorted(result.op_end_s)
    assert result.op_end_s[-1] == result.latency_s


@given(seed=seeds, target=st.sampled_from(TARGETS))
@settings(max_examples=6)
def test_it_is_the_same_every_time(seed, target):
    problem, homes, _ = case(seed, target)
    model = DetailedModel(problem.workload, problem.accelerator)
    other = [problem.homes[0]] * len(homes)
    first = model.simulate(homes)
    model.simulate(other)
    assert model.simulate(homes) == first
    assert simulate_detailed(problem.workload, problem.accelerator, homes) == first


def test_addresses_decide_on_banks():
    problem, _, _ = case(1, "nnp-i", 20)
    homes = [problem.homes[0]] * problem.tensor_count
    load, machine = problem.workload, problem.accelerator
    seen = {
        simulate_detailed(load, machine, homes, DetailedParameters(seed=seed)).latency_s
        for seed in range(4)
    }
    assert len(seen) > 1
    assert max(seen) < 1.05 * min(seen)
    rows = [tensor * 2048 * 9 for tensor in range(problem.tensor_count)]
    addressed = simulate_detailed(load, machine, homes, addresses=rows)
    assert addressed.latency_s == pytest.approx(min(seen), rel=0.05)


@given(seed=seeds, target=st.sampled_from(TARGETS))
@settings(max_examples=12)
def test_the_engine_is_not_far_away(seed, target):
    problem, homes, homes_T = case(seed, target)
    engine_s, _ = evaluate(problem, np.array(homes_T, np.int8))
    detailed_s = simulate_detailed(problem.workload, problem.accelerator, homes).latency_s
    assert 0.6 * engine_s < detailed_s < 1.8 * engine_s


def test_rank_correlation_by_hand():
    def spearman(*values: float) -> float:
        return rank_correlation(np.arange(4.0), np.array(values))

    assert spearman(1, 2, 3, 4) == pytest.approx(1.0)
    assert spearman(4, 3, 2, 1) == pytest.approx(-1.0)
    # 1 - 6 * (1 + 1) / (4 * 15).
    assert spearman(2, 1, 3, 4) == pytest.approx(0.8)
    # Ranks 1.5, 1.5, 3, 4: covariance 4.5 over the root of 5 * 4.5.
    assert spearman(1, 1, 3, 4) == pytest.approx(4.5 / np.sqrt(22.5))
    assert spearman(1, 1, 1, 1) == 1.0


def test_engine_and_detailed_model_order_placements_alike():
    machine = load_target("nnp-i")
    problem = build_problem(random_workload(16, np.random.default_rng(3)), machine)
    row = judge(problem, "random", "nnp-i", placements=40, evaluations=500)
    assert row.placements == 40
    assert row.rank_correlation >= 0.9
    assert row.regret <= 0.1
