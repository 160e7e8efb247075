"""Generated problems are feasible, matter, compete for memory, and are reproducible."""

import msgspec
import numpy as np
import pytest

from accelerator_sim.engine import evaluate
from accelerator_sim.reference_engine import simulate
from egrl.generator.accelerators import GROUPS, generate_accelerator
from egrl.generator.contest import (
    LEAST_SHARE,
    MOST_SHARE,
    contested,
    inner_bytes,
    peak_buffer_bytes,
    roomy,
    total_bytes,
)
from egrl.generator.problems import MATTERS, draw_problem, generate_problem
from egrl.generator.workloads.registry import FAMILIES, generate_workload
from egrl.placers import PLACERS
from egrl.placers.base import Budget
from egrl.placers.decoder import build_decoder
from graph_ir.errors import UnmetRequirementError
from graph_ir.workload import TensorKind, Workload

MANY = 16


def _latencies(seed: int) -> tuple[float, float, float]:
    """Ideal, `acts-first`, `all-outermost`."""
    problem = generate_problem(np.random.default_rng(seed), op_range=(20, 80))
    found = []
    for name in ("acts-first", "all-outermost", "native"):
        result = PLACERS[name]().place(problem, Budget(evaluations=1), np.random.default_rng(0))
        latency_s, overflow_bytes = evaluate(problem, result.homes_T)
        assert overflow_bytes <= 0
        assert latency_s == pytest.approx(simulate(problem, result.homes_T.tolist()).latency_s)
        found.append(latency_s)
    ideal_s, _ = evaluate(problem, build_decoder(problem).values.ideal_T.astype(np.int8))
    return ideal_s, found[0], found[1]


def test_problems_are_placed_by_the_references_and_placement_matters() -> None:
    for seed in range(MANY):
        ideal_s, sorted_s, outermost_s = _latencies(seed)
        assert max(sorted_s, outermost_s) > MATTERS * ideal_s * (1 - 1e-9)


def test_half_of_them_are_rescaled_and_most_compete_for_memory() -> None:
    drawn = [draw_problem(np.random.default_rng(seed), op_range=(20, 60)) for seed in range(60)]
    assert 15 <= sum(d.is_rescaled for d in drawn) <= 45
    assert sum(d.draws == 1 for d in drawn) >= 40
    shares = [inner_bytes(d.problem.accelerator) / total_bytes(d.problem.workload) for d in drawn]
    assert sum(LEAST_SHARE * 0.9 <= share <= MOST_SHARE * 1.1 for share in shares) >= 36
    assert {d.family for d in drawn} == set(FAMILIES)
    assert {GROUPS[d.archetype] for d in drawn} == set(GROUPS.values())


def test_only_what_is_named_is_drawn() -> None:
    for seed in range(8):
        drawn = draw_problem(
            np.random.default_rng(seed), ["dense", "unet"], ["imxrt1170", "ane-m4"], (30, 40)
        )
        assert drawn.family in ("dense", "unet")
        assert drawn.archetype in ("imxrt1170", "ane-m4")
        assert drawn.problem.accelerator.name == f"{drawn.archetype}-drawn"
        assert 20 <= drawn.problem.op_count <= 50


def test_the_same_seed_gives_the_same_problem_and_the_same_next_one() -> None:
    def two() -> list[bytes]:
        rng = np.random.default_rng(17)
        problems = [generate_problem(rng, op_range=(20, 60)) for _ in range(2)]
        return [
            part
            for p in problems
            for part in (
                repr(p.workload).encode(), msgspec.json.encode(p.accelerator),
                p.arrays.cost_CK.tobytes(),
            )
        ]  # fmt: skip

    assert two() == two()


@pytest.mark.parametrize("family", ["encoder", "unet"])
def test_a_large_problem(family: str) -> None:
    problem = generate_problem(np.random.default_rng(2), [family], ["nnp-i"], op_range=(1400, 1500))
    assert 1350 <= problem.op_count <= 1550


def test_a_contested_accelerator_holds_a_drawn_share_of_the_bytes() -> None:
    workload = generate_workload("residual", 60, "fp16", np.random.default_rng(0))
    shares = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        drawn = generate_accelerator(rng, "nnp-i")
        scaled = contested(drawn, workload, rng)
        share = inner_bytes(scaled) / total_bytes(workload)
        assert share <= MOST_SHARE * 1.01
        assert scaled.tiers[0] == drawn.tiers[0]
        shares.append(share)
    assert min(shares) < 0.08
    assert max(shares) > 0.6


def _peak(workload: Workload) -> int:
    return max(
        sum(
            t.size_bytes
            for t in workload.tensors
            if t.kind is not TensorKind.WEIGHT and t.start <= at < t.end
        )
        for at in range(len(workload.ops))
    )


def test_the_peak_of_buffers_is_counted_op_by_op() -> None:
    for family in sorted(FAMILIES):
        workload = generate_workload(family, 40, "int8", np.random.default_rng(4))
        assert peak_buffer_bytes(workload) == _peak(workload)
        assert peak_buffer_bytes(workload, 32) >= _peak(workload)


def test_outer_memories_are_made_large_enough() -> None:
    workload = generate_workload("unet", 60, "int8", np.random.default_rng(0))
    for name in GROUPS:
        accelerator = roomy(generate_accelerator(np.random.default_rng(0), name), workload)
        writable = next(tier for tier in accelerator.tiers if not tier.read_only)
        assert writable.capacity_bytes.value > peak_buffer_bytes(workload)
        assert accelerator.tiers[0].capacity_bytes.value > workload.weight_bytes


def test_giving_up_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("egrl.generator.problems.MATTERS", 1e9)
    monkeypatch.setattr("egrl.generator.problems.MOST_DRAWS", 3)
    with pytest.raises(UnmetRequirementError, match="generator: 3 problems in a row"):
        generate_problem(np.random.default_rng(0), ["chain"], ["nnp-i"], (20, 30))


def test_problems_that_one_sort_does_not_solve() -> None:
    for seed in range(6):
        problem = generate_problem(
            np.random.default_rng(seed), archetypes=["nnp-i"], op_range=(20, 60), least_gap=0.1
        )
        ideal_s, _ = evaluate(problem, build_decoder(problem).values.ideal_T.astype(np.int8))
        result = PLACERS["acts-first"]().place(
            problem, Budget(evaluations=1), np.random.default_rng(0)
        )
        assert result.latency_s >= 1.1 * ideal_s * (1 - 1e-9)
