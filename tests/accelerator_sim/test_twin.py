"""The compiled engine says what its readable twin says."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelerator_sim import engine, price_table
from accelerator_sim.engine import evaluate, evaluate_batch
from accelerator_sim.problem import PlacementProblem, build_problem
from accelerator_sim.reference_engine import simulate, uses_staging
from accelerator_sim.targets import TARGETS, load_target
from tests.accelerator_sim.cases import problems, random_homes, varied_workload

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
                if tier.scope == "shared" and tensor.kind.value != "weight":
                    stored *= accelerator.groups
                live += -(-stored // tier.alignment_bytes) * tier.alignment_bytes
            if k == len(accelerator.tiers) - 1 and uses_staging(problem, homes):
                live += accelerator.streaming.staging_bytes
            worst = max(worst, live - int(tier.capacity_bytes.value))
    return worst


@settings(max_examples=50)
@given(problems(), st.integers(0, 2**32 - 1))
def test_on_any_accelerator(problem: PlacementProblem, seed: int) -> None:
    check_twin(problem, seed)


@pytest.mark.parametrize("target", TARGETS)
@settings(max_examples=4)
@given(st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_on_shipped_targets(target: str, ops: int, seed: int) -> None:
    accelerator = load_target(target)
    workload = varied_workload(seed, ops, accelerator.default_type, fan_in=seed % 2 * 9)
    check_twin(build_problem(workload, accelerator), seed)


def test_ops_with_many_operands_have_no_table() -> None:
    problem = problem_with_untabled()
    assert problem.arrays.untabled_D.tolist() == [7]
    check_twin(problem, 3, count=10)


def problem_with_untabled() -> PlacementProblem:
    workload = varied_workload(3, 8, "fp16", fan_in=9)
    return build_problem(workload, load_target("nnp-i-partitioned"))


@settings(max_examples=15)
@given(problems(max_ops=20), st.integers(0, 2**32 - 1), st.integers(2, 5), st.integers(0, 40))
def test_threads_change_nothing(
    problem: PlacementProblem, seed: int, threads: int, count: int
) -> None:
    homes_PT = random_homes(problem, np.random.default_rng(seed), count)
    expected = evaluate_batch(problem, homes_PT)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "OPS_PER_THREAD", 1)
        got = evaluate_batch(problem, homes_PT, threads)
    assert got.latency_s_P.tobytes() == expected.latency_s_P.tobytes()
    assert got.overflow_bytes_P.tobytes() == expected.overflow_bytes_P.tobytes()


def test_several_threads_may_share_a_problem() -> None:
    """Ops without a table too: nothing that one evaluation writes can be seen by another."""
    problem = problem_with_untabled()
    table = problem.arrays.table_QF.tobytes(), problem.arrays.batch.walk_QW.tobytes()
    populations = [random_homes(problem, np.random.default_rng(seed), 200) for seed in range(8)]
    expected = [evaluate_batch(problem, homes_PT).latency_s_P for homes_PT in populations]
    with ThreadPoolExecutor(4) as pool:
        got = list(pool.map(lambda homes_PT: evaluate_batch(problem, homes_PT), populations))
    for one, other in zip(got, expected, strict=True):
        assert one.latency_s_P.tobytes() == other.tobytes()
    assert (problem.arrays.table_QF.tobytes(), problem.arrays.batch.walk_QW.tobytes()) == table


@settings(max_examples=25)
@given(problems(max_ops=10))
def test_nothing_streams_from_the_innermost_tier(problem: PlacementProblem) -> None:
    """The walk looks at the tiers outside it only."""
    arrays = problem.arrays
    inner = len(arrays.capacity_bytes_L) - 1
    stream_0 = arrays.table_QF.shape[1] - 2 * len(arrays.capacity_bytes_L)
    assert not arrays.table_QF[:, stream_0 + inner].any()


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
