"""The HTML report without a browser: what is in the file, and what cannot be."""

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from importlib import resources
from math import fsum, isclose

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from accelerator_sim.build_report import build_report
from accelerator_sim.engine import evaluate
from accelerator_sim.html import case_data as case_module
from accelerator_sim.html import limits, memory_data, report_html, timeline_data
from accelerator_sim.html.case_data import case_data
from accelerator_sim.html.compare import comparison
from accelerator_sim.html.energy_parts import energy_parts
from accelerator_sim.html.move_costs import move_costs
from accelerator_sim.html.page import LIBRARY, SCRIPTS
from accelerator_sim.html.waterfall import waterfall
from accelerator_sim.problem import build_problem
from accelerator_sim.reference_engine import simulate
from accelerator_sim.report_case import ReportCase
from accelerator_sim.targets import load_target
from accelerator_sim.throughput import grouped
from graph_ir.errors import InputError
from tests.report.cases import TARGETS, simulated
from tests.report.html_cases import HOSTILE, html_case

MIB = 1 << 20


class _Tags(HTMLParser):
    """Every tag with its attributes, and the text inside scripts."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.in_script = False

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.in_script = tag == "script"
        if self.in_script:
            self.scripts.append("")

    def handle_endtag(self, tag):
        self.in_script = False

    def handle_data(self, data):
        if self.in_script:
            self.scripts[-1] += data


def parsed(page: str) -> _Tags:
    tags = _Tags()
    tags.feed(page)
    tags.close()
    return tags


def embedded(page: str) -> dict:
    return json.loads(parsed(page).scripts[0])


def test_the_same_cases_give_the_same_bytes():
    cases = [html_case(0), html_case(1, target="ethos-u65-512")]
    assert report_html(cases) == report_html(cases)


def test_nothing_is_loaded_from_anywhere():
    tags = parsed(report_html([html_case(0)])).tags
    assert {tag for tag, _ in tags} & {"link", "img", "iframe", "object", "embed", "base"} == set()
    for tag, attributes in tags:
        assert "src" not in attributes, tag
        assert attributes.get("href", "#").startswith("#"), tag
    folder = resources.files("accelerator_sim.html")
    assert not re.search(r"url\(|@import", folder.joinpath("page.css").read_text("utf-8"))
    for name in SCRIPTS:
        text = folder.joinpath(f"js/{name}").read_text("utf-8")
        assert not re.search(r"(inner|outer|Adjacent)HTML|document\.write|\beval\b", text), name
        assert not re.search(r"\bfetch\(|XMLHttp|WebSocket|import\(|https?:", text), name


def test_the_policy_admits_exactly_the_scripts_of_the_page():
    page = parsed(report_html([html_case(0)]))
    policy = next(a["content"] for t, a in page.tags if a.get("http-equiv"))
    assert policy is not None
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert policy.count("sha256-") == 2
    assert "unsafe-eval" not in policy
    assert "script-src 'unsafe-inline'" not in policy
    for script in page.scripts[1:]:
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy


def test_the_library_is_the_file_that_its_note_names():
    folder = resources.files("accelerator_sim.html")
    digest = hashlib.sha256(folder.joinpath(LIBRARY).read_bytes()).hexdigest()
    assert digest in folder.joinpath("vendor/README.md").read_text("utf-8")
    assert "Apache License" in folder.joinpath("vendor/LICENSE").read_text("utf-8")


def test_the_headline_is_the_report_to_the_last_digit():
    case = html_case(2)
    data = embedded(report_html([case]))["cases"][0]
    for name in ("latency_s", "cold_latency_s", "lower_bound_s", "gap", "energy_j", "best_known_s",
                 "speedup_over_native", "speedup_over_best_reference", "gap_closed"):  # fmt: skip
        assert data["headline"][name] == getattr(case.report, name), name
    assert data["headline"]["power_w"] == case.report.energy_j / case.report.latency_s
    assert data["references"] == case.report.references
    assert [tier["peak_bytes"] for tier in data["tiers"]] == [
        tier.peak_bytes for tier in case.report.tiers
    ]
    assert data["ops"]["name"] == [op.name for op in case.report.ops]
    for position, op in enumerate(case.report.ops):
        assert isclose(data["ops"]["duration_s"][position], op.duration_s, rel_tol=1e-6)
        assert data["ops"]["macs"][position] == op.macs


def test_missing_numbers_stay_missing():
    case = html_case(0, bound=False)
    data = embedded(report_html([case]))["cases"][0]
    assert data["headline"]["lower_bound_s"] is None
    assert data["headline"]["gap"] is None
    assert ("no bound was proven" in data["verdict"]) == case.report.placement_matters


@pytest.mark.parametrize("count", [0, limits.MAX_CASES + 1])
def test_a_page_has_between_one_and_a_few_cases(count):
    with pytest.raises(InputError, match=f"got {count}"):
        report_html([html_case(0)] * count)


def test_hostile_names_stay_inside_their_strings():
    page = report_html([html_case(3, hostile=True), html_case(3)])
    page.encode("utf-8")
    tags = parsed(page)
    assert [t for t, _ in tags.tags].count("script") == 3
    assert {"img", "b"} & {t for t, _ in tags.tags} == set()
    assert not any(key.startswith("on") for _, attributes in tags.tags for key in attributes)
    data = json.loads(tags.scripts[0])
    assert data["cases"][0]["ops"]["name"][0] == "o0" + HOSTILE[0]
    assert set(re.findall(r"[<>&\u2028\u2029]", tags.scripts[0])) == set()


@pytest.mark.parametrize("target", TARGETS)
@given(seed=st.integers(0, 12))
def test_the_waterfall_adds_up_to_the_latency(target, seed):
    problem, homes, timeline = simulated(seed, 12, target)
    report = build_report(
        problem, homes, timeline, model="m", placer="p", references={}, lower_bound_s=None,
        best_known_s=timeline.latency_s,
    )  # fmt: skip
    steps = waterfall(report.ops, report.latency_s, top_stalls=2)
    assert isclose(fsum(step.seconds for step in steps), report.latency_s, rel_tol=1e-9)
    assert min(step.seconds for step in steps) >= 0
    by_kind: dict[str, float] = {}
    for step in steps:
        by_kind[step.kind] = by_kind.get(step.kind, 0.0) + step.seconds
    assert isclose(
        by_kind["overhead"], fsum(op.fill_s for op in report.ops), rel_tol=1e-6, abs_tol=1e-15
    )
    assert isclose(by_kind.get("stall", 0.0), fsum(op.stall_s for op in report.ops), rel_tol=1e-9)
    units = fsum(max(op.mac_s, op.vector_s) for op in report.ops)
    computed = by_kind["ideal"] + by_kind["utilization"] + by_kind["vector"]
    assert isclose(computed, units, rel_tol=1e-6)
    assert sum(step.kind == "stall" for step in steps) <= 3


@pytest.mark.parametrize("target", TARGETS)
@given(seed=st.integers(0, 12))
def test_the_parts_of_the_energy_add_up(target, seed):
    problem, homes, timeline = simulated(seed, 12, target)
    parts = energy_parts(problem, homes, timeline)
    assert isclose(fsum(part.energy_j for part in parts), timeline.energy_j, rel_tol=1e-9)
    assert "other" not in [part.kind for part in parts]
    leakage = next(part for part in parts if part.kind == "leakage")
    assert leakage.energy_j == problem.accelerator.energy.leakage_w.value * timeline.latency_s


@pytest.mark.parametrize("groups", [2, 12])
def test_the_parts_of_the_energy_add_up_in_throughput_mode(groups):
    workload = simulated(3, 12, "nnp-i")[0].workload
    problem = build_problem(workload, grouped(load_target("nnp-i"), groups))
    homes = [0] * len(workload.tensors)
    timeline = simulate(problem, homes)
    parts = energy_parts(problem, homes, timeline)
    assert isclose(fsum(part.energy_j for part in parts), timeline.energy_j, rel_tol=1e-9)
    assert "other" not in [part.kind for part in parts]
    leakage = next(part for part in parts if part.kind == "leakage")
    spent = problem.accelerator.energy.leakage_w.value * timeline.latency_s
    assert isclose(leakage.energy_j, spent / groups, rel_tol=1e-12)


@pytest.mark.parametrize("target", ["imxrt1170", "nvdla-small", "tpu-v5e", "ethos-u85-512"])
def test_targets_with_fewer_or_other_memories_have_a_page_too(target):
    case = html_case(1, target=target)
    data = embedded(report_html([case]))["cases"][0]
    assert [tier["name"] for tier in data["tiers"]] == [t.name for t in case.report.tiers]
    assert isclose(fsum(p["joules"] for p in data["energy"]), case.report.energy_j, rel_tol=1e-9)
    assert "other" not in [part["kind"] for part in data["energy"]]
    spent = fsum(step["seconds"] for step in data["waterfall"])
    assert isclose(spent, case.report.latency_s, rel_tol=1e-9)


@pytest.mark.parametrize("target", TARGETS)
def test_the_cost_of_a_move_is_what_the_engine_says_of_the_moved_placement(target):
    case = html_case(4, 60, target)
    homes_T = np.array(case.homes, np.int8)
    before_s, _ = evaluate(case.problem, homes_T)
    costs = move_costs(case.problem, case.homes, range(case.problem.tensor_count))
    moves = 0
    for tensor, found in costs.items():
        allowed = set(np.flatnonzero(case.problem.allowed_TH[tensor]).tolist())
        assert {cost.home for cost in found} == allowed - {case.homes[tensor]}
        for cost in found:
            moved_T = homes_T.copy()
            moved_T[tensor] = cost.home
            latency_s, over_bytes = evaluate(case.problem, moved_T)
            assert isclose(cost.seconds, latency_s - before_s, rel_tol=1e-6, abs_tol=1e-13)
            assert cost.over_bytes == max(0, over_bytes)
            moves += 1
    assert moves > 5


def test_every_residence_of_the_plan_is_a_rectangle_inside_its_memory():
    case = html_case(5)
    data = case_data(case)["memory"]
    assert isinstance(data, dict)
    planned = sorted(
        (t.name, r.offset, r.start)
        for t in case.plan.tensors
        for r in t.residences
        if t.size_bytes and r.start < min(r.end, len(case.plan.ops))
    )
    drawn = sorted(zip(data["name"], data["offset"], data["start"], strict=True))
    assert drawn == planned
    assert data["total"] == len(planned)
    for tier, offset, size in zip(data["tier"], data["offset"], data["bytes"], strict=True):
        assert offset + size <= case.plan.tiers[tier].capacity_bytes
    assert all(data["why"])


def test_large_graphs_are_cut_and_say_so(monkeypatch):
    monkeypatch.setattr(case_module, "MAX_OPS", 5)
    monkeypatch.setattr(timeline_data, "MAX_BLOCKS", 7)
    monkeypatch.setattr(timeline_data, "MAX_TRANSFERS", 3)
    monkeypatch.setattr(memory_data, "MAX_TENSORS", 4)
    case = html_case(6)
    data = case_data(case)
    ops, lanes, memory = data["ops"], data["timeline"], data["memory"]
    assert isinstance(ops, dict)
    assert isinstance(lanes, dict)
    assert isinstance(memory, dict)
    slowest = sorted(case.report.ops, key=lambda op: -op.duration_s)[:5]
    assert ops["index"] == sorted(op.index for op in slowest)
    assert ops["total"] == len(case.report.ops)
    assert isclose(
        ops["rest_s"] + sum(op.duration_s for op in slowest), case.report.latency_s, rel_tol=1e-9
    )
    blocks = lanes["blocks"]
    assert len(blocks["first"]) <= 7
    assert lanes["ops_per_block"] == -(-len(case.report.ops) // 7)
    assert [*blocks["first"][1:], len(case.report.ops)] == [last + 1 for last in blocks["last"]]
    moved = [sum(lane["bytes"]) for lane in lanes["lanes"] if "bytes" in lane]
    assert sum(moved) == sum(t.size_bytes for t in case.timeline.transfers)
    assert len(memory["name"]) == 4 < memory["total"]


def test_lanes_hold_what_the_timeline_says():
    case = html_case(7)
    lanes = timeline_data.timeline_data(case)["lanes"]
    assert isinstance(lanes, list)
    names = [lane["name"] for lane in lanes]
    assert names[0] == "ops"
    assert len(set(names)) == len(names)
    for lane in lanes:
        for start, end in zip(lane["start_s"], lane["end_s"], strict=True):
            assert -1e-12 <= start <= end <= case.report.latency_s * (1 + 1e-6)
    matrix = next(lane for lane in lanes if lane["kind"] == "mac")
    busy = sum(e - s for s, e in zip(matrix["start_s"], matrix["end_s"], strict=True))
    assert isclose(busy, sum(op.mac_s for op in case.report.ops), rel_tol=1e-4)


def test_ops_are_compared_by_name():
    first, second = html_case(8), html_case(8, placer="all-outermost")
    assert comparison([first]) is None
    found = comparison([first, second])
    assert found is not None
    assert found["matched"] == len(first.report.ops)
    for name, times in zip(found["names"], found["duration_s"], strict=True):  # type: ignore[call-overload]
        for case, seconds in zip((first, second), times, strict=True):
            op = next(op for op in case.report.ops if op.name == name)
            assert isclose(seconds, op.duration_s, rel_tol=1e-6)
    spreads = found["spread_s"]
    assert isinstance(spreads, list)
    assert spreads == sorted(spreads, reverse=True)
    other = comparison([first, html_case(9)])
    assert other is not None


@pytest.mark.parametrize("length", [1, 160, 161, 10_000])
def test_long_names_keep_both_ends(length):
    name = "a" * (length // 2) + "z" * (length - length // 2)
    text = limits.short(name)
    assert len(text) == min(length, limits.MAX_NAME)
    assert (text[0], text[-1]) == (name[0], name[-1])


def test_a_page_of_a_hundred_ops_is_far_below_three_megabytes():
    case: ReportCase = html_case(10, 120)
    assert len(report_html([case]).encode()) < 2 * MIB
