"""The references are stated algorithms: slow twins, hand-made cases, golden plans."""

import hashlib
import json
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelerator_sim.problem import PlacementProblem
from accelerator_sim.reference_engine import live_bytes, uses_staging
from egrl.placers import PLACERS
from egrl.placers.acts_first import acts_first_order
from egrl.placers.base import Budget
from egrl.placers.decoder import build_decoder
from egrl.placers.greedy import density_order
from egrl.placers.native import Native
from graph_ir.errors import UnmetRequirementError
from graph_ir.workload import TensorKind
from tests.accelerator_sim.cases import problems
from tests.placers.knapsack import knapsack
from tests.placers.support import TARGETS, random_problem

GOLDEN = Path(__file__).parent / "golden_plans.json"
UPDATE = "EGRL_UPDATE_GOLDEN"
REFERENCES = ("all-outermost", "native", "acts-first", "greedy")
LATENCY_TOLERANCE = 1e-9


def slow_native(problem: PlacementProblem, ring: bool) -> list[int] | None:
    """First fit in execution order, by asking for every tensor and home what would be live."""
    tensors, size_TH = problem.workload.tensors, problem.arrays.size_bytes_TH
    tiers = problem.accelerator.tiers
    limits = [int(tier.capacity_bytes.value) for tier in tiers]
    limits[-1] -= problem.accelerator.streaming.staging_bytes if ring else 0
    homes: dict[int, int] = {}

    def used(i: int, tier: int) -> int:
        return sum(
            int(size_TH[t, h])
            for t, h in homes.items()
            if problem.homes[h].tier == tier and tensors[t].start <= i < tensors[t].end
        )

    order = [t for t in range(len(tensors)) if problem.allowed_TH[t].sum() == 1]
    for op in problem.workload.ops:
        kinds = [(o, tensors[o.tensor].kind) for o in op.operands]
        order += [o.tensor for o, kind in kinds if kind in (TensorKind.WEIGHT, TensorKind.STATE)]
        order += [o.tensor for o, kind in kinds if kind is TensorKind.SCRATCH]
        order += [o.tensor for o, kind in kinds if o.is_write and kind is not TensorKind.STATE]
    for t in dict.fromkeys([*order, *range(len(tensors))]):
        for h in sorted(
            np.flatnonzero(problem.allowed_TH[t]).tolist(),
            key=lambda h: (-problem.homes[h].tier, int(size_TH[t, h]), h),
        ):
            tier = problem.homes[h].tier
            span = range(tensors[t].start, tensors[t].end)
            if all(used(i, tier) + int(size_TH[t, h]) <= limits[tier] for i in span):
                homes[t] = h
                break
        else:
            return None
    found = [homes[t] for t in range(len(tensors))]
    if uses_staging(problem, found) and not ring:
        return slow_native(problem, ring=True)
    return found


@settings(max_examples=40)
@given(problem=problems(max_ops=14))
def test_native_is_what_its_slow_twin_says(problem):
    expected = slow_native(problem, ring=False)
    if expected is None or not fits(problem, expected):
        with pytest.raises(UnmetRequirementError):
            Native().homes(problem, build_decoder(problem))
    else:
        assert Native().homes(problem, build_decoder(problem)).tolist() == expected


def fits(problem: PlacementProblem, homes: list[int]) -> bool:
    limits = [int(tier.capacity_bytes.value) for tier in problem.accelerator.tiers]
    if uses_staging(problem, homes):
        limits[-1] -= problem.accelerator.streaming.staging_bytes
    return all(
        used <= limit
        for row in live_bytes(problem, homes)
        for used, limit in zip(row, limits, strict=True)
    )


def homes_by_name(problem: PlacementProblem, placer: str) -> dict[str, str]:
    result = PLACERS[placer]().place(problem, Budget(), np.random.default_rng(0))
    return {
        tensor.name: problem.home_name(int(home))
        for tensor, home in zip(problem.workload.tensors, result.homes_T, strict=True)
    }


def test_native_takes_what_comes_first():
    problem = knapsack(sizes=[900, 500, 500], uses=[1, 9, 9], inner_bytes=1000 + 64)
    homes = homes_by_name(problem, "native")
    assert [homes[f"weight{w}"] for w in range(3)] == ["inner", "outer", "outer"]


def test_greedy_takes_what_saves_most_per_byte():
    problem = knapsack(sizes=[900, 500, 500], uses=[1, 9, 9], inner_bytes=1000 + 64)
    homes = homes_by_name(problem, "greedy")
    assert [homes[f"weight{w}"] for w in range(3)] == ["outer", "inner", "inner"]


def test_acts_first_puts_activations_before_weights():
    problem = knapsack(sizes=[500, 500], uses=[50, 50], inner_bytes=1000, activation_bytes=400)
    acts = homes_by_name(problem, "acts-first")
    assert {home for name, home in acts.items() if name.startswith("out")} >= {"inner"}
    assert [acts["weight0"], acts["weight1"]] == ["outer", "outer"]
    native = homes_by_name(problem, "native")
    assert native["weight0"] == "inner"


def test_all_outermost_is_outermost():
    problem = random_problem("nnp-i-partitioned", 1, 20, 1.0)
    assert set(homes_by_name(problem, "all-outermost").values()) == {"DRAM"}


@pytest.mark.parametrize("target", TARGETS)
def test_orders_hold_every_free_tensor_once(target):
    problem = random_problem(target, 5, 30)
    decoder = build_decoder(problem)
    for order in (density_order(problem, decoder), acts_first_order(problem, decoder)):
        assert sorted(order.tolist()) == problem.free_tensors.tolist()


def golden_cases() -> dict[str, dict[str, float | str]]:
    cases: dict[str, dict[str, float | str]] = {}
    for target in TARGETS:
        for seed, ops, share in ((1, 12, 0.05), (2, 60, 0.2)):
            problem = random_problem(target, seed, ops, share)
            for name in REFERENCES:
                result = PLACERS[name]().place(problem, Budget(), np.random.default_rng(0))
                cases[f"{name} {target} random({ops}, seed {seed}) at {share}"] = {
                    "homes": hashlib.sha256(result.homes_T.tobytes()).hexdigest()[:16],
                    "latency_s": result.latency_s,
                }
    return cases


def test_golden_plans():
    """Set the variable EGRL_UPDATE_GOLDEN to write the file anew, and read its diff."""
    cases = golden_cases()
    if os.environ.get(UPDATE):
        GOLDEN.write_text(json.dumps(cases, indent=1, sort_keys=True) + "\n", "utf-8")
    golden = json.loads(GOLDEN.read_text("utf-8"))
    assert sorted(cases) == sorted(golden)
    for name, case in cases.items():
        assert case["homes"] == golden[name]["homes"], name
        assert case["latency_s"] == pytest.approx(golden[name]["latency_s"], rel=LATENCY_TOLERANCE)


@settings(max_examples=20)
@given(target=st.sampled_from(TARGETS), seed=st.integers(0, 2**32 - 1))
def test_references_use_one_evaluation_whatever_the_budget(target, seed):
    problem = random_problem(target, seed, 10)
    for name in REFERENCES:
        rng = np.random.default_rng(seed)
        before = rng.bit_generator.state
        first = PLACERS[name]().place(problem, Budget(evaluations=1), rng)
        second = PLACERS[name]().place(problem, Budget(seconds=5.0), rng)
        assert first.homes_T.tobytes() == second.homes_T.tobytes()
        assert first.evaluations <= 1 + 8
        assert rng.bit_generator.state == before
