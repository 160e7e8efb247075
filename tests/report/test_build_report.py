"""The numbers of a report follow from the timeline and the references."""

import dataclasses

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from accelerator_sim.build_report import build_report, residents, staging_bytes
from accelerator_sim.reference_engine import live_bytes
from accelerator_sim.report import Report
from accelerator_sim.time_shares import OVERHEAD, WAITING, time_shares
from tests.report.cases import TARGETS, report_of, simulated


def test_speedups_are_over_the_best_stated_reference_and_native():
    report = report_of(references={"native": 1.5, "acts-first": 1.2, "ideal": 0.8, "auto": 0.9})
    assert report.best_reference == "acts-first"
    assert report.speedup_over_best_reference == pytest.approx(1.2)
    assert report.speedup_over_native == pytest.approx(1.5)


def test_equally_good_references_are_told_apart_by_name():
    assert report_of(references={"native": 1.2, "greedy": 1.2}).best_reference == "greedy"


def test_the_gap_is_to_the_bound_and_absent_without_one():
    assert report_of(bound=0.8).gap == pytest.approx(0.25)
    assert report_of(bound=1.0).gap == 0.0
    report = report_of()
    assert report.gap is None
    assert report.lower_bound_s is None


def test_rounding_of_a_solver_is_no_gap_but_a_bound_above_the_latency_is_a_bug():
    assert report_of(bound=1.00001).gap == 0.0
    with pytest.raises(ValueError, match="below its proven bound"):
        report_of(bound=1.01)


@pytest.mark.parametrize(
    ("references", "bound", "closed"),
    [
        ({"native": 1.2, "ideal": 0.5}, 0.9, 2 / 3),
        ({"native": 1.2, "ideal": 0.8}, None, 0.5),
        ({"native": 0.9, "ideal": 0.8}, None, -1.0),
        ({"native": 1.019, "ideal": 0.5}, 1.0, None),
        ({"ideal": 0.8}, None, None),
        ({"native": 1.2}, None, None),
    ],
)
def test_share_of_the_closable_gap(references, bound, closed):
    expected = None if closed is None else pytest.approx(closed)
    assert report_of(references=references, bound=bound).gap_closed == expected


@pytest.mark.parametrize(
    ("best", "bound", "matters"), [(1.0201, 1.0, True), (1.0199, 1.0, False), (1.0, 1.0, False)]
)
def test_placement_matters_above_two_percent(best, bound, matters):
    references = {"native": best, "greedy": 5.0, "ideal": 0.1}
    assert report_of(references=references, bound=bound).placement_matters is matters


def test_without_a_bound_the_ideal_decides_whether_placement_matters():
    assert not report_of(references={"native": 1.01, "ideal": 1.0}).placement_matters
    assert report_of(references={"native": 1.2, "ideal": 1.0}).placement_matters


def test_placement_matters_to_a_plan_that_a_reference_beats():
    assert report_of(references={"native": 0.5, "ideal": 0.4}, bound=0.5).placement_matters


def test_references_that_are_infeasible_leave_nulls():
    report = report_of(references={"acts-first": 1.2})
    assert report.speedup_over_native is None
    assert report.speedup_over_best_reference == pytest.approx(1.2)
    report = report_of(references={"ideal": 0.5})
    assert report.speedup_over_best_reference is None
    assert report.best_reference == ""
    assert report.placement_matters


def test_best_known_is_never_above_the_latency():
    report = report_of(best_known=2.0)
    assert report.best_known_s == report.latency_s
    assert report_of(best_known=0.5).best_known_s == pytest.approx(report.latency_s / 2)


@pytest.mark.parametrize("target", TARGETS)
@given(seed=st.integers(0, 30))
def test_tiers_hold_what_the_engine_counts(target, seed):
    problem, homes, timeline = simulated(seed, 12, target)
    weights_L, live_L = residents(problem, homes)
    staging = staging_bytes(problem, homes)
    expected = live_bytes(problem, homes)
    for tier in range(len(problem.accelerator.tiers)):
        assert [weights_L[tier] + live for live in live_L[tier]] == [row[tier] for row in expected]
    rows = report_of(seed, 12, target).tiers
    for tier, (row, use) in enumerate(zip(rows, timeline.tiers, strict=True)):
        ring = staging if tier == len(rows) - 1 else 0
        assert row.resident_weight_bytes + row.peak_activation_bytes + ring == row.peak_bytes
        assert row.capacity_bytes == use.capacity_bytes
        assert (row.read_bytes, row.written_bytes) == (use.read_bytes, use.written_bytes)


def test_op_rows_name_the_homes_of_their_operands():
    problem, homes, timeline = simulated(1)
    report = report_of(1)
    assert [row.index for row in report.ops] == list(range(problem.op_count))
    for row, op, trace in zip(report.ops, problem.workload.ops, timeline.ops, strict=True):
        assert row.nodes == list(op.nodes)
        assert row.duration_s == trace.end_s - trace.start_s
        assert row.homes == {
            problem.workload.tensors[o.tensor].name: problem.home_name(homes[o.tensor])
            for o in op.operands
        }


@given(seed=st.integers(0, 30))
def test_time_shares_add_up_to_the_latency(seed):
    report = report_of(seed)
    shares = time_shares(report.ops, [tier.name for tier in report.tiers])
    assert sum(share.seconds for share in shares) == pytest.approx(report.latency_s)
    by_name = {share.name: share.seconds for share in shares}
    assert by_name.get(WAITING, 0.0) == pytest.approx(sum(op.stall_s for op in report.ops))
    assert by_name[OVERHEAD] == pytest.approx(sum(op.fill_s for op in report.ops))


def test_time_of_a_stalled_op_is_split_between_its_limit_and_the_wait():
    row = report_of(0).ops[0]
    stalled = msgspec.structs.replace(
        row,
        duration_s=10.0,
        fill_s=1.0,
        stall_s=3.0,
        bound="DRAM",
        mac_s=6.0,
        vector_s=1.0,
        resource_s={"DRAM": 9.0, "LLC": 2.0, "SRAM": 0.0},
    )
    shares = {s.name: s.seconds for s in time_shares([stalled], ["DRAM", "LLC", "SRAM"])}
    assert shares == {"matrix unit": 6.0, "waiting for weights": 3.0, "launch and fill": 1.0}
    memory = msgspec.structs.replace(
        stalled, mac_s=1.0, resource_s={"DRAM": 9.0, "LLC": 6.0, "SRAM": 0.0}
    )
    shares = {s.name: s.seconds for s in time_shares([memory], ["DRAM", "LLC", "SRAM"])}
    assert shares["memory: LLC"] == 6.0


def test_a_report_survives_its_file():
    report = report_of(2, bound=0.9)
    data = msgspec.json.encode(report)
    assert msgspec.json.decode(data, type=Report) == report


def test_scalars_of_numpy_can_be_written():
    problem, homes, timeline = simulated(0)
    report = build_report(
        problem,
        homes,
        timeline,
        model="model",
        placer="auto",
        references={"native": np.float64(2.0), "ideal": np.float64(1e-9)},
        lower_bound_s=np.float64(1e-9),
        best_known_s=np.float64(1.0),
    )
    assert msgspec.json.decode(msgspec.json.encode(report), type=Report) == report


def test_a_workload_without_ops_is_reported():
    problem, _, timeline = simulated(0)
    empty = dataclasses.replace(
        problem, workload=dataclasses.replace(problem.workload, ops=(), tensors=())
    )
    report = build_report(
        empty,
        (),
        dataclasses.replace(timeline, latency_s=0.0, ops=(), transfers=()),
        model="nothing",
        placer="auto",
        references={"native": 0.0, "ideal": 0.0},
        lower_bound_s=0.0,
        best_known_s=0.0,
    )
    assert report.ops == []
    assert report.speedup_over_native == 1.0
    assert not report.placement_matters
