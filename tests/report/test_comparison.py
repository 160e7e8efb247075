"""Reports side by side: every number is in its report's column, whatever memories they have."""

import itertools

import msgspec
import pytest

from accelerator_sim.comparison import NOTHING, compare, letters
from accelerator_sim.report_case import Advice
from accelerator_sim.report_text import WIDTH, advice_text, comparison_text, report_text
from tests.report.cases import report_of


def rows_of(*reports):
    return {row.label: row.cells for row in compare(reports)}


def test_changes_are_relative_to_the_first():
    first = report_of(0, bound=0.8)
    faster = msgspec.structs.replace(first, latency_s=first.latency_s * 0.75)
    rows = rows_of(first, faster)
    assert rows["against A"] == ("+0.0 %", "-25.0 %")
    assert rows["proven gap"][0] == "25.0 %"
    assert rows["over best ref."][0] == "1.20x"
    assert rows["over native"][0] == "1.50x"


def test_power_is_energy_over_latency():
    report = msgspec.structs.replace(report_of(0), energy_j=0.5, latency_s=0.25)
    assert rows_of(report)["power"] == ("2 W",)
    assert "energy 500 mJ (2 W)" in report_text(report)
    nothing = msgspec.structs.replace(report, latency_s=0.0)
    assert rows_of(nothing)["power"] == (NOTHING,)


def test_memories_that_a_report_does_not_have_are_left_open():
    three, two = report_of(0, target="nnp-i"), report_of(0, target="ethos-u65-512")
    rows = rows_of(three, two)
    mine, theirs = ({tier.name for tier in report.tiers} for report in (three, two))
    assert mine != theirs
    for name, report in itertools.product(sorted(mine | theirs), (three, two)):
        cell = rows[f"{name} busy"][0 if report is three else 1]
        assert (cell == NOTHING) == (name not in {tier.name for tier in report.tiers})


def test_columns_are_lettered_like_a_sheet():
    assert [letters(i) for i in (0, 1, 25, 26, 27, 51, 52, 701, 702)] == [
        "A", "B", "Z", "AA", "AB", "AZ", "BA", "ZZ", "AAA",
    ]  # fmt: skip


@pytest.mark.parametrize("count", [1, 2, 6, 7, 30])
def test_any_number_of_columns_fits_a_terminal(count):
    reports = [msgspec.structs.replace(report_of(i), model="m" * 80) for i in range(count)]
    text = comparison_text(reports, [f"{'long' * 30}-{i}" for i in range(count)])
    assert text.isascii()
    assert all(len(line) <= WIDTH for line in text.split("\n"))
    for i, _ in enumerate(reports):
        assert f"\n  {letters(i):<3} long" in text
    assert text.count("\n  latency ") == -(-count // 6)


def test_a_caveat_names_the_first_approximation_on_one_line():
    report = report_of(0)
    assert "caveat" not in report_text(report)
    one = report_text(report, ["clock is guessed"])
    assert "is approximate: clock is guessed\n" in one
    many = report_text(report, ["long " * 40, "b\nc"])
    assert sum("caveat" in line for line in many.split("\n")) == 1
    assert all(len(line) <= WIDTH for line in many.split("\n"))
    assert "is approximate: clock is guessed; 1 more" in report_text(
        report, ["clock is guessed", ""]
    )


def test_advice_is_shown_whole_and_says_where_placement_does_not_matter():
    report = report_of(0, bound=0.8)
    entries = [Advice("tensor", "name\x1b " * 30, 1e-3, -0.125)]
    text = advice_text(entries, report)
    assert "-12.5 %" in text
    assert text.isascii()
    assert text.count("name") == 30
    assert all(len(line) <= WIDTH for line in text.split("\n"))
    assert "does not matter" not in text
    idle = report_of(references={"native": 1.01, "ideal": 1.0}, bound=1.0)
    assert "placement does not matter here" in advice_text([], idle)
    assert "nothing that was tried" in advice_text([], idle)
    assert "most of its time goes to: " in advice_text([], idle)
