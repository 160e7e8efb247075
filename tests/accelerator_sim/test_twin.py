"""The compiled engine says what its readable twin says."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelerator_sim import price_table
from accelerator_sim.engine import evaluate, evaluate_batch
from accelerator_sim.problem import PlacementProblem, build_problem
from accelerator_sim.reference_engine import simulate, uses_staging
from accelerator_sim.targets import load_target
from tests.accelerator_sim.cases import problems, random_homes, varied_workload
from tests.accelerator_sim.machines import TARGETS

SAME = 1e-12


def check_twin(problem: PlacementProblem, seed: int, count: int = 3) -> None:
    homes_PT = random_homes(problem, np.random.default_rng(seed), count)
    result = evaluate_batch(problem, homes_PT)
    for homes_T, latency_s, overflow in zip(
        homes_PT, result.latency_s_P, result.overflow_bytes_P, strict=True
    ):
        timeline = simulate(problem, homes_T.tolist())
        assert timeline.latency_s == pytest.approx(latency_s, rel=SAME)
        assert sum(op.end_s - op.start_s for op in timeline.ops) == pytest.approx(
            latency_s, rel=1e-9
        )
        assert overflow == slow_overflow(problem, homes_T.tolist())


def slow_overflow(problem: PlacementProblem, homes: list[int]) -> int:
    """Bytes over capacity, counted op by op and tensor by tensor."""
    accelerator = problem.accelerator
    worst = 0
    for i in range(problem.op_count):
        for k, tier in enumerate(accelerator.tiers):
            live = 0
            for t, tensor in enumerate(problem.workload.tensors):
                home = problem.homes[homes[t]]
                if tensor.alias_of is not None or home.tier != k:
                    continue
                if not tensor.start <= i < tensor.end:
                    continue
                stored = tensor.size_bytes
                if tensor.kind.value != "weight" and tensor.channels:
                    quantum = accelerator.layout_channels
                    rows = tensor.size_bytes / tensor.channels
                    padded = (tensor.channels + quantum - 1) // quantum * quantum
                    stored = int(np.ceil(round(rows * padded, 6)))
                if home.mode == "partitioned":
                    stored = -(-stored // accelerator.core_count)
                live += -(-stored // tier.alignment_bytes) * tier.alignment_bytes
            if k == len(accelerator.tiers) - 1 and uses_staging(problem, homes):
                live += accelerator.streaming.staging_bytes
            worst = max(worst, live - int(tier.capacity_bytes.value))
    return worst


@settings(max_examples=100)
@given(problems(), st.integers(0, 2**32 - 1))
def test_on_any_accelerator(problem: PlacementProblem, seed: int) -> None:
    check_twin(problem, seed)


@settings(max_examples=20)
@given(st.sampled_from(TARGETS), st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_on_shipped_targets(target: str, ops: int, seed: int) -> None:
    accelerator = load_target(target)
    workload = varied_workload(seed, ops, accelerator.default_type, fan_in=seed % 2 * 9)
    check_twin(build_problem(workload, accelerator), seed)


def test_ops_with_many_operands_have_no_table() -> None:
    accelerator = load_target("nnp-i-partitioned")
    workload = varied_workload(3, 8, "fp16", fan_in=9)
    problem = build_problem(workload, accelerator)
    assert problem.arrays.untabled_D.tolist() == [7]
    check_twin(problem, 3, count=10)


@settings(max_examples=15)
@given(problems(max_ops=12), st.integers(0, 2**32 - 1), st.integers(0, 200))
def test_tables_are_only_a_speed_up(problem: PlacementProblem, seed: int, records: int) -> None:
    """A table that ends after some records gives the same numbers."""
    homes_PT = random_homes(problem, np.random.default_rng(seed), 6)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(price_table, "MAX_RECORDS", records)
        limited = build_problem(problem.workload, problem.accelerator)
    assert (limited.arrays.table_QF.shape[0] - len(limited.arrays.untabled_D)) <= records
    unlimited = build_problem(problem.workload, problem.accelerator)
    expected = evaluate_batch(unlimited, homes_PT)
    got = evaluate_batch(limited, homes_PT)
    assert got.latency_s_P.tolist() == expected.latency_s_P.tolist()
    assert got.overflow_bytes_P.tolist() == expected.overflow_bytes_P.tolist()


@settings(max_examples=25)
@given(problems(max_ops=20), st.integers(0, 2**32 - 1))
def test_a_batch_is_its_members(problem: PlacementProblem, seed: int) -> None:
    """Whatever was evaluated before in the same arrays."""
    homes_PT = random_homes(problem, np.random.default_rng(seed), 7)
    batch = evaluate_batch(problem, homes_PT)
    for p in reversed(range(7)):
        latency_s, overflow = evaluate(problem, homes_PT[p])
        assert latency_s == batch.latency_s_P[p]
        assert overflow == batch.overflow_bytes_P[p]


def test_a_workload_without_ops() -> None:
    accelerator = load_target("nnp-i")
    workload = varied_workload(0, 1, "fp16")
    empty = type(workload)("empty", "fp16", (), ())
    problem = build_problem(empty, accelerator)
    assert evaluate(problem, np.zeros(0, np.int8)) == (0.0, 0)
