"""What must hold of any latency, on random machines."""

from dataclasses import replace as changed
from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from accelerator_sim.accelerator import Accelerator, Tier
from accelerator_sim.engine import evaluate
from accelerator_sim.problem import PlacementProblem, build_problem
from accelerator_sim.reference_engine import simulate
from graph_ir.workload import Workload
from tests.accelerator_sim.cases import problems, random_homes
from tests.accelerator_sim.fixed_plan import fix, seconds
from tests.accelerator_sim.machines import scaled, with_streaming

ROUNDING = 1e-9
SLOWER = ("read_bytes_per_s", "write_bytes_per_s")


def one_placement(problem: PlacementProblem, seed: int) -> list[int]:
    homes: list[int] = random_homes(problem, np.random.default_rng(seed), 1)[0].tolist()
    return homes


def with_tier(a: Accelerator, index: int, tier: Tier) -> Accelerator:
    tiers = list(a.tiers)
    tiers[index] = tier
    return replace(a, tiers=tiers)


def slowed(a: Accelerator, what: int, factor: float) -> Accelerator:
    """One of the machine's rates, lowered by `factor`, or one of its times, raised by it."""
    index = what % len(a.tiers)
    tier = a.tiers[index]
    link = a.interconnect
    return [
        with_tier(a, index, replace(tier, read_bytes_per_s=scaled(tier.read_bytes_per_s, factor))),
        with_tier(
            a, index, replace(tier, write_bytes_per_s=scaled(tier.write_bytes_per_s, factor))
        ),
        with_tier(a, index, replace(tier, latency_s=scaled(tier.latency_s, 1 / factor))),
        replace(a, clock_hz=scaled(a.clock_hz, factor)),
        replace(a, launch_overhead_s=scaled(a.launch_overhead_s, 1 / factor)),
        replace(a, interconnect=replace(link, bytes_per_s=scaled(link.bytes_per_s, factor))),
        replace(
            a, interconnect=replace(link, port_bytes_per_s=scaled(link.port_bytes_per_s, factor))
        ),
        replace(a, interconnect=replace(link, multicast=False)),
    ][what // 4 % 8]


def heavier(workload: Workload, op: int, what: Literal["macs", "vector", "bytes"]) -> Workload:
    """More to do for one op."""
    ops = list(workload.ops)
    old = ops[op % len(ops)]
    if what == "vector":
        new = changed(old, vector_ops=2 * old.vector_ops + 1)
    elif what == "macs":
        work = tuple(changed(w, rows=2 * w.rows, inner=w.inner + 3) for w in old.mac_work)
        new = changed(old, mac_work=work)
    else:
        operands = tuple(changed(o, traffic_bytes=o.traffic_bytes * 2) for o in old.operands)
        new = changed(old, operands=operands)
    ops[op % len(ops)] = new
    return changed(workload, ops=tuple(ops))


@settings(max_examples=100)
@given(problems(max_ops=20), st.integers(0, 2**32 - 1))
def test_a_fixed_plan_takes_what_the_engine_says(problem: PlacementProblem, seed: int) -> None:
    homes = one_placement(problem, seed)
    plan = fix(problem, homes)
    engine_s, _ = evaluate(problem, np.array(homes, np.int8))
    slowest = min(tier.read_bytes_per_s.value for tier in problem.accelerator.tiers)
    slowest = min(slowest, problem.accelerator.interconnect.port_bytes_per_s.value)
    # Transfers are of whole bytes.
    bytes_off = 2 * (1 + len(plan.share)) * problem.accelerator.groups
    assert seconds(problem, plan) == pytest.approx(
        engine_s, rel=ROUNDING, abs=bytes_off * problem.accelerator.core_count / slowest
    )


@settings(max_examples=120)
@given(problems(max_ops=15), st.integers(0, 2**32 - 1), st.integers(0, 31), st.floats(0.05, 0.99))
def test_a_slower_machine_is_never_faster(
    problem: PlacementProblem, seed: int, what: int, factor: float
) -> None:
    homes = one_placement(problem, seed)
    plan = fix(problem, homes)
    slow = build_problem(problem.workload, slowed(problem.accelerator, what, factor))
    assert seconds(slow, plan) >= seconds(problem, plan) * (1 - ROUNDING)


@settings(max_examples=100)
@given(
    problems(max_ops=15),
    st.integers(0, 2**32 - 1),
    st.integers(0, 100),
    st.sampled_from(("macs", "vector", "bytes")),
)
def test_more_work_is_never_faster(
    problem: PlacementProblem, seed: int, op: int, what: Literal["macs", "vector", "bytes"]
) -> None:
    homes = one_placement(problem, seed)
    plan = fix(problem, homes)
    more = build_problem(heavier(problem.workload, op, what), problem.accelerator)
    known = {(v.split, v.loop_order) for v in more.variants_N[op % problem.op_count]}
    if plan.variants[op % problem.op_count] in known:
        assert seconds(more, plan) >= seconds(problem, plan) * (1 - ROUNDING)


@settings(max_examples=100)
@given(problems(max_ops=15), st.integers(0, 2**32 - 1), st.integers(0, 31), st.floats(0.05, 0.99))
def test_without_prefetching_the_engine_is_monotone(
    problem: PlacementProblem, seed: int, what: int, factor: float
) -> None:
    """Every op is then alone, and its best variant is its best on any machine."""
    streaming = problem.accelerator.streaming
    machine = with_streaming(problem.accelerator, 0, streaming.slice_bytes, streaming.staging_bytes)
    homes_T = np.array(one_placement(problem, seed), np.int8)
    latency_s, _ = evaluate(build_problem(problem.workload, machine), homes_T)
    slow_s, _ = evaluate(build_problem(problem.workload, slowed(machine, what, factor)), homes_T)
    assert slow_s >= latency_s * (1 - ROUNDING)


@settings(max_examples=100)
@given(problems(max_ops=20), st.integers(0, 2**32 - 1))
def test_prefetching_never_hurts(problem: PlacementProblem, seed: int) -> None:
    """Nor does a ring without which nothing could be fetched ahead."""
    streaming = problem.accelerator.streaming
    homes_T = np.array(one_placement(problem, seed), np.int8)
    latency_s, _ = evaluate(problem, homes_T)
    # What fits the ring is not fetched again, so without prefetching it keeps its size.
    ring_bytes = streaming.staging_bytes - 2 * streaming.slice_bytes
    for changed_ops, changed_bytes in ((0, ring_bytes), (streaming.prefetch_ops, 0)):
        machine = with_streaming(
            problem.accelerator, changed_ops, streaming.slice_bytes,
            2 * streaming.slice_bytes + changed_bytes, streaming.path, streaming.refetch,
        )  # fmt: skip
        plain_s, _ = evaluate(build_problem(problem.workload, machine), homes_T)
        assert latency_s <= plain_s * (1 + ROUNDING)


@settings(max_examples=100)
@given(problems(max_ops=20), st.integers(0, 2**32 - 1))
def test_never_below_compute_and_traffic(problem: PlacementProblem, seed: int) -> None:
    timeline = simulate(problem, one_placement(problem, seed))
    assert timeline.latency_s >= sum(max(op.mac_s, op.vector_s) for op in timeline.ops) * (
        1 - ROUNDING
    )
    for use, tier in zip(timeline.tiers, problem.accelerator.tiers, strict=True):
        read_s = use.read_bytes / tier.read_bytes_per_s.value
        write_s = use.written_bytes / tier.write_bytes_per_s.value
        busy_s = max(read_s, write_s) if tier.ports == "separate" else read_s + write_s
        if tier.scope == "shared":
            busy_s *= problem.accelerator.groups
        rounding_s = problem.accelerator.groups / tier.read_bytes_per_s.value + (
            problem.accelerator.groups / tier.write_bytes_per_s.value
        )
        assert timeline.latency_s * (1 + ROUNDING) + rounding_s >= busy_s
        assert use.busy_fraction <= 1 + ROUNDING
    assert timeline.cold_latency_s >= timeline.latency_s


@settings(max_examples=100)
@given(problems(max_ops=20), st.integers(0, 2**32 - 1))
def test_the_timeline_adds_up(problem: PlacementProblem, seed: int) -> None:
    timeline = simulate(problem, one_placement(problem, seed))
    now = 0.0
    for op in timeline.ops:
        assert op.start_s == pytest.approx(now, rel=ROUNDING, abs=1e-15)
        core_s = max([op.mac_s, op.vector_s, *op.resource_s.values()])
        assert op.end_s - op.start_s == pytest.approx(core_s + op.fill_s, rel=1e-6, abs=1e-15)
        assert 0 <= op.stall_s <= core_s * (1 + ROUNDING)
        assert bool(op.stall_tensor) == (op.stall_s > 0)
        assert 0 <= op.utilization <= 1 + ROUNDING
        now = op.end_s
    assert now == pytest.approx(timeline.latency_s, rel=ROUNDING)
    for transfer in timeline.transfers:
        assert transfer.during_op <= transfer.for_op
        assert transfer.for_op - transfer.during_op <= problem.accelerator.streaming.prefetch_ops
        during = timeline.ops[transfer.during_op]
        slack = ROUNDING * timeline.latency_s
        assert during.start_s - slack <= transfer.start_s <= transfer.end_s <= during.end_s + slack
