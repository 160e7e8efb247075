"""The trace is what viewers accept: lanes without overlaps, events in order, arrows in pairs."""

import functools
import itertools
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from accelerator_sim.reference_engine import simulate
from accelerator_sim.trace import OPS_LANE, trace_events, trace_json
from accelerator_sim.trace_counters import bandwidth_counters, peak_bytes_per_s
from egrl.placers.acts_first import ActsFirst
from egrl.placers.base import Budget
from tests.report.cases import TARGETS, simulated

UNITS = ("bytes", "GB/s")


def nanoseconds(microseconds: float) -> int:
    assert round(microseconds * 1000) == pytest.approx(microseconds * 1000, abs=1e-3)
    return round(microseconds * 1000)


@pytest.mark.parametrize("target", TARGETS)
@given(seed=st.integers(0, 40))
def test_slices_of_a_lane_follow_each_other(target, seed):
    events = trace_events(*simulated(seed, 12, target))
    lanes: dict[object, list[tuple[int, int]]] = {}
    for event in events:
        if event["ph"] == "X":
            start = nanoseconds(event["ts"])
            assert event["dur"] >= 0
            span = (start, start + nanoseconds(event["dur"]))
            lanes.setdefault((event["pid"], event["tid"]), []).append(span)
    assert lanes
    for spans in lanes.values():
        for (_, end), (start, _) in itertools.pairwise(spans):
            assert start >= end


@given(seed=st.integers(0, 40))
def test_events_are_in_order_and_lanes_are_named(seed):
    events = trace_events(*simulated(seed))
    kinds = [event["ph"] for event in events]
    first = next(i for i, kind in enumerate(kinds) if kind != "M")
    assert "M" not in kinds[first:]
    times = [event["ts"] for event in events[first:]]
    assert times == sorted(times)
    named = {e["tid"] for e in events if e["ph"] == "M" and e["name"] == "thread_name"}
    assert named == {e["tid"] for e in events if e["ph"] == "X"}


@given(seed=st.integers(0, 40))
def test_ops_and_transfers_are_all_there(seed):
    problem, homes, timeline = simulated(seed)
    slices = [e for e in trace_events(problem, homes, timeline) if e["ph"] == "X"]
    ops = [e for e in slices if e["tid"] == OPS_LANE]
    assert [e["name"] for e in ops] == [op.name for op in timeline.ops]
    assert nanoseconds(ops[-1]["ts"] + ops[-1]["dur"]) == round(timeline.latency_s * 1e9)
    moved = [e for e in slices if e["cat"] in ("late", "prefetch")]
    assert sum(e["args"]["bytes"] for e in moved) == sum(t.size_bytes for t in timeline.transfers)
    assert sorted(e["name"] for e in moved) == sorted(t.tensor for t in timeline.transfers)


@given(seed=st.integers(0, 40))
def test_arrows_lead_from_a_prefetch_to_its_op(seed):
    problem, homes, timeline = simulated(seed)
    events = trace_events(problem, homes, timeline)
    prefetched = {
        (t.tensor, t.tier, t.for_op) for t in timeline.transfers if t.for_op > t.during_op
    }
    starts = {e["id"]: e for e in events if e["ph"] == "s"}
    ends = {e["id"]: e for e in events if e["ph"] == "f"}
    assert starts.keys() == ends.keys()
    assert len(starts) == len(prefetched)
    slices = [e for e in events if e["ph"] == "X"]
    for number, start in starts.items():
        end = ends[number]
        assert end["bp"] == "e"
        assert end["ts"] >= start["ts"]
        source = [e for e in slices if e["tid"] == start["tid"] and _covers(e, start["ts"])]
        target = [e for e in slices if e["tid"] == end["tid"] and e["ts"] == end["ts"]]
        assert any(
            a["cat"] == "prefetch" and a["args"]["for_op"] == b["name"]
            for a in source
            for b in target
        )


def _covers(event, ts):
    return event["ts"] <= ts <= event["ts"] + event["dur"] + 1e-9


@given(seed=st.integers(0, 40))
def test_counters_reach_the_peak_of_every_tier(seed):
    problem, homes, timeline = simulated(seed)
    events = trace_events(problem, homes, timeline)
    for use in timeline.tiers:
        counts = [e["args"] for e in events if e["ph"] == "C" and e["name"] == f"{use.name} bytes"]
        assert max(sum(count.values()) for count in counts) == use.peak_bytes


@functools.lru_cache(maxsize=64)
def placed(seed: int, target: str):
    """A placement that fits, with its problem and timeline."""
    problem, _, _ = simulated(seed, 12, target)
    found = ActsFirst().place(problem, Budget(evaluations=1), np.random.default_rng(0))
    homes = tuple(found.homes_T.tolist())
    return problem, homes, simulate(problem, homes)


@pytest.mark.parametrize("target", TARGETS)
@given(seed=st.integers(0, 40))
def test_no_counter_is_above_what_its_memory_can(target, seed):
    problem, homes, timeline = placed(seed, target)
    events = [e for e in trace_events(problem, homes, timeline) if e["ph"] == "C"]
    tiers = problem.accelerator.tiers
    assert {e["name"] for e in events} <= {f"{t.name} {of}" for t in tiers for of in UNITS}
    for tier in tiers:
        for event in events:
            total = sum(event["args"].values())
            assert min(event["args"].values()) >= 0
            if event["name"] == f"{tier.name} bytes":
                assert total <= tier.capacity_bytes.value
            elif event["name"] == f"{tier.name} GB/s":
                assert total * 1e9 <= peak_bytes_per_s(tier) * (1 + 1e-9)


@pytest.mark.parametrize("target", TARGETS)
@given(seed=st.integers(0, 40))
def test_bandwidth_over_time_is_the_traffic_of_all_ops(target, seed):
    problem, _, timeline = simulated(seed, 12, target)
    for tier in problem.accelerator.tiers:
        steps = [c for c in bandwidth_counters(problem, timeline) if c.name == f"{tier.name} GB/s"]
        assert [c.at_s for c in steps] == sorted(c.at_s for c in steps)
        moved = sum(
            sum(now.values.values()) * 1e9 * (later.at_s - now.at_s)
            for now, later in itertools.pairwise(steps)
        )
        expected = sum(op.traffic_bytes[tier.name] for op in timeline.ops)
        assert moved == pytest.approx(expected, rel=1e-3, abs=64)


@pytest.mark.parametrize("target", TARGETS)
@given(seed=st.integers(0, 40))
def test_arrows_begin_and_end_inside_slices(target, seed):
    events = trace_events(*placed(seed, target))
    slices = [e for e in events if e["ph"] == "X"]
    starts = {e["id"]: e for e in events if e["ph"] == "s"}
    ends = {e["id"]: e for e in events if e["ph"] == "f"}
    assert starts.keys() == ends.keys()
    assert len(starts) == sum(e["ph"] == "s" for e in events)
    for number, start in starts.items():
        end = ends[number]
        assert start["ts"] <= end["ts"]
        sources = [e for e in slices if e["tid"] == start["tid"] and e["ts"] == start["ts"]]
        targets = [
            e for e in slices
            if e["tid"] == end["tid"] and e["ts"] <= end["ts"] < e["ts"] + max(e["dur"], 1e-3)
        ]  # fmt: skip
        assert {e["args"]["for_op"] for e in sources} & {e["name"] for e in targets}


def test_the_file_is_json_and_repeatable():
    case = simulated(5)
    data = trace_json(*case)
    loaded = json.loads(data)
    assert loaded["displayTimeUnit"] == "ns"
    assert len(loaded["traceEvents"]) == len(trace_events(*case))
    assert data == trace_json(*case)
