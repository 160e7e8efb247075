"""Markdown for a pull request: tables that render, and names that cannot be markup."""

import dataclasses
import re

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from accelerator_sim.plan import Plan
from accelerator_sim.report_case import Advice, ReportCase
from accelerator_sim.report_markdown import escaped, report_markdown
from accelerator_sim.units import seconds_text
from tests.report.cases import report_of, simulated

HOSTILE = "a|b`c`<script>alert(1)</script> *x* _y_ [z](http://q.example) @user #12 \n- \x1b[31m ~w~"


def case_of(seed: int = 0, **report) -> ReportCase:
    problem, homes, timeline = simulated(seed)
    plan = Plan(1, [], [], [], [])
    return ReportCase("model.onnx", "", report_of(seed, **report), timeline, problem, homes, plan)


def hostile_case() -> ReportCase:
    case = case_of(bound=0.9)
    ops = [
        msgspec.structs.replace(op, name=HOSTILE, stall_tensor=HOSTILE, stall_s=1e-3)
        for op in case.report.ops
    ]
    report = msgspec.structs.replace(case.report, model=HOSTILE, ops=ops)
    advice = (Advice("tensor", HOSTILE, 1e-3, -0.1),)
    return dataclasses.replace(case, name=HOSTILE, note=HOSTILE, report=report, advice=advice)


def tables(text: str) -> list[list[str]]:
    blocks, block = [], []
    for line in [*text.split("\n"), ""]:
        if line.startswith("|"):
            block.append(line)
        elif block:
            blocks.append(block)
            block = []
    return blocks


def assert_well_formed(text: str) -> None:
    assert text.isascii()
    assert text.endswith("\n")
    assert text.count("<details>") == text.count("</details>") == text.count("<summary>")
    assert set(re.findall(r"<[^>]*>", text)) <= {
        "<details>", "</details>", "<summary>", "</summary>", "<b>", "</b>",
    }  # fmt: skip
    for block in tables(text):
        assert len({line.count("|") for line in block}) == 1
        assert re.fullmatch(r"(\| -+:? )+\|", block[1])


def test_the_headline_is_first_and_details_are_folded():
    case = case_of(bound=0.8)
    text = report_markdown([case])
    assert_well_formed(text)
    head, _, rest = text.partition("<details>")
    assert f"**{seconds_text(case.report.latency_s)}**" in head
    assert "25.0 %" in head
    assert "1.20x (acts-first)" in head
    for summary in ("Where the time goes", "Slowest of 12 ops", "What each memory holds"):
        assert f"<summary>{summary}</summary>" in rest
    slowest = max(case.report.ops, key=lambda op: op.duration_s)
    assert escaped(slowest.name) in rest
    # Markdown inside HTML is read only after an empty line.
    assert "</summary>\n|" not in rest


def test_several_cases_begin_with_their_comparison():
    text = report_markdown([case_of(0), case_of(1)])
    assert_well_formed(text)
    assert text.startswith("### Placements side by side")
    assert "- **A** model.onnx, placed by auto on nnp-i" in text
    assert "|  | A | B |" in text
    assert text.count("<summary><b>") == 2


def test_names_are_never_markup():
    for cases in ([hostile_case()], [hostile_case(), hostile_case()]):
        text = report_markdown(cases)
        assert_well_formed(text)
        for part in ("<script", "`", "*x*", "_y_", "[z]", "http://", "@user", " #12", "~w~"):
            assert part not in text


@given(name=st.text())
def test_escaped_text_reads_back(name):
    text = escaped(name)
    assert not re.search(r"[|`<>*\[\]@~\\\n]", text)
    assert not re.search(r"(?<!&)#", text)
    back = re.sub(r"&#(\d+);", lambda match: chr(int(match[1])), text)
    assert back.isascii()
    if name.isascii() and name.isprintable():
        assert back == name


def test_it_says_where_placement_does_not_matter():
    references = {"native": 1.01, "ideal": 1.0}
    assert "Placement does not matter" in report_markdown([case_of(references=references, bound=1)])
    assert "Placement does not matter" not in report_markdown([case_of(bound=0.8)])
