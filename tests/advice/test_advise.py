"""Advice is what a second simulation says, and nothing that a better search would have found."""

import dataclasses

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelerator_sim.accelerator import Accelerator
from accelerator_sim.build_report import build_report
from accelerator_sim.plan import Plan
from accelerator_sim.problem import PlacementProblem, build_problem
from accelerator_sim.quantity import Quantity
from accelerator_sim.reference_engine import simulate
from accelerator_sim.report_case import ReportCase
from accelerator_sim.targets import load_target
from egrl.advice.advise import LEAST_CHANGE, MAX_ENTRIES, advise
from egrl.advice.again import pins_of
from egrl.advice.hardware import hardware_changes
from egrl.advice.narrow import narrowable, stalling, with_narrow
from egrl.advice.single import single_moves
from egrl.bench.random_graphs import random_workload
from egrl.placers.base import Budget
from egrl.placers.guided import Guided
from graph_ir.datatypes import stored_bytes
from graph_ir.workload import Role, TensorKind


def small_machine(share: float = 0.1) -> Accelerator:
    """nnp-i with little fast memory, so that placement matters on small graphs."""
    target = load_target("nnp-i")
    tiers = [
        msgspec.structs.replace(
            tier, capacity_bytes=Quantity(int(tier.capacity_bytes.value * share), source="test")
        )
        if k
        else tier
        for k, tier in enumerate(target.tiers)
    ]
    streaming = msgspec.structs.replace(
        target.streaming, staging_bytes=1 << 17, slice_bytes=1 << 14
    )
    return msgspec.structs.replace(target, tiers=tiers, streaming=streaming)


def case_of(problem: PlacementProblem, homes: tuple[int, ...]) -> ReportCase:
    timeline = simulate(problem, homes)
    report = build_report(
        problem, homes, timeline, model="m", placer="p", references={}, lower_bound_s=None,
        best_known_s=timeline.latency_s,
    )  # fmt: skip
    return ReportCase("m", "", report, timeline, problem, homes, Plan(1, [], [], [], []))


def placed_case(seed: int, op_count: int = 20, evaluations: int = 20_000) -> ReportCase:
    accelerator = small_machine()
    workload = random_workload(op_count, np.random.default_rng(seed), accelerator.default_type)
    problem = build_problem(workload, accelerator)
    found = Guided().place(problem, Budget(evaluations=evaluations), np.random.default_rng(0))
    return case_of(problem, tuple(found.homes_T.tolist()))


CASES = {seed: placed_case(seed, op_count) for seed, op_count in ((0, 12), (1, 20))}


@pytest.mark.parametrize("seed", CASES)
def test_every_entry_helps_and_the_best_is_first(seed):
    case = CASES[seed]
    advice = advise(case)
    assert 0 < len(advice) <= MAX_ENTRIES
    assert [a.latency_s for a in advice] == sorted(a.latency_s for a in advice)
    for entry in advice:
        assert entry.latency_s <= case.report.latency_s * (1 - LEAST_CHANGE)
        assert entry.change == pytest.approx(entry.latency_s / case.report.latency_s - 1)
        assert entry.kind in ("capacity", "bandwidth", "precision", "tensor", "placement")
    if seed == 0:
        assert advise(case) == advice


def test_a_bad_plan_is_told_apart_from_a_small_machine():
    good = CASES[0]
    outermost = tuple(good.problem.allowed_TH.argmax(axis=1).tolist())
    case = case_of(good.problem, outermost)
    advice = advise(case)
    (again,) = [entry for entry in advice if entry.kind == "placement"]
    assert again.latency_s <= good.report.latency_s * 1.02
    for entry in advice:
        if entry.kind in ("capacity", "bandwidth", "precision"):
            assert entry.latency_s <= again.latency_s * (1 - LEAST_CHANGE)
            assert "less than with another placement alone" in entry.text


def test_where_nothing_moves_nothing_is_advised_of_capacity_or_tensors():
    workload = random_workload(3, np.random.default_rng(0), "fp16")
    problem = build_problem(workload, load_target("nnp-i"))
    found = Guided().place(problem, Budget(evaluations=500), np.random.default_rng(0))
    case = case_of(problem, tuple(found.homes_T.tolist()))
    assert not [a for a in advise(case) if a.kind in ("capacity", "tensor", "placement")]


def test_steps_of_a_machine_change_one_number():
    accelerator = load_target("nnp-i")
    changes = list(hardware_changes(accelerator))
    assert "4 MiB more SRAM per core" in [change.text for change in changes]
    assert "+50 % DRAM bandwidth" in [change.text for change in changes]
    for change in changes:
        assert change.accelerator.name == accelerator.name
        different = [
            (before.name, name)
            for before, after in zip(accelerator.tiers, change.accelerator.tiers, strict=True)
            for name in ("capacity_bytes", "read_bytes_per_s", "write_bytes_per_s")
            if getattr(before, name).value != getattr(after, name).value
        ]
        other = accelerator.interconnect != change.accelerator.interconnect
        assert len(different) == (0 if other else 1 if change.kind == "capacity" else 2)


def test_pins_are_kept():
    case = CASES[0]
    tensor = case.problem.workload.tensors[int(case.problem.free_tensors[0])].name
    pinned = build_problem(case.problem.workload, case.problem.accelerator, {tensor: "LLC"})
    assert pins_of(pinned) == {tensor: "LLC"}
    assert pins_of(case.problem) == {}


@given(seed=st.integers(0, 200))
@settings(max_examples=25)
def test_narrow_weights_are_int8_everywhere_they_are_used(seed):
    accelerator = load_target("nnp-i")
    workload = random_workload(12, np.random.default_rng(seed), "fp16")
    weights = narrowable(workload, accelerator)
    chosen = weights[::2]
    narrow = with_narrow(workload, chosen)
    for t, (before, after) in enumerate(zip(workload.tensors, narrow.tensors, strict=True)):
        if t in chosen:
            assert before.kind is TensorKind.WEIGHT
            assert after.data_type == "int8"
            assert after.size_bytes == stored_bytes(before.shape, "int8") < before.size_bytes
            assert (
                dataclasses.replace(after, data_type=before.data_type, size_bytes=before.size_bytes)
                == before
            )
        else:
            assert before == after
    for before, after in zip(workload.ops, narrow.ops, strict=True):
        assert before.macs == after.macs
        for old, new in zip(before.operands, after.operands, strict=True):
            if old.tensor not in chosen:
                assert old == new
                continue
            assert new.traffic_bytes == -(-old.traffic_bytes // 2)
            if new.role is Role.RIGHT:
                assert after.mac_work[0].right_type == "int8"
        if not any(operand.tensor in chosen for operand in before.operands):
            assert before == after
    build_problem(narrow, accelerator)


def test_a_vector_only_machine_and_missing_rates_narrow_nothing():
    accelerator = load_target("nnp-i")
    workload = random_workload(12, np.random.default_rng(0), "fp16")
    assert narrowable(workload, accelerator)
    assert narrowable(workload, msgspec.structs.replace(accelerator, mac_array=None)) == []
    array = accelerator.mac_array
    rates = {k: v for k, v in array.relative_rate.items() if k != "fp16*int8"}
    array = msgspec.structs.replace(array, relative_rate=rates)
    assert narrowable(workload, msgspec.structs.replace(accelerator, mac_array=array)) == []


def test_stalling_weights_come_by_how_long_they_were_waited_for():
    case = CASES[0]
    ops = [dataclasses.replace(op, stall_s=0.0, stall_tensor="") for op in case.timeline.ops]
    weights = narrowable(case.problem.workload, case.problem.accelerator)[:3]
    names = [case.problem.workload.tensors[t].name for t in weights]
    for at, (name, seconds) in enumerate([(names[1], 3.0), (names[0], 1.0), (names[0], 1.5)]):
        ops[at] = dataclasses.replace(ops[at], stall_s=seconds, stall_tensor=name)
    timeline = dataclasses.replace(case.timeline, ops=tuple(ops))
    assert stalling(case.problem.workload, timeline, weights) == [weights[1], weights[0]]


@pytest.mark.parametrize("seed", CASES)
def test_single_moves_are_what_the_slow_engine_says_of_the_moved_tensor(seed):
    case = CASES[seed]
    moves = single_moves(case.problem, case.homes)
    assert moves
    for move in moves[:5]:
        homes = list(case.homes)
        assert homes[move.tensor] != move.home
        homes[move.tensor] = move.home
        # Times do not depend on capacities, so that the twin can time what does not fit.
        assert simulate(case.problem, homes).latency_s == pytest.approx(move.latency_s, rel=1e-9)
        assert move.latency_s < case.report.latency_s
