"""The summary: what it says, and that it fits a terminal."""

import csv
import io
import re

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from accelerator_sim.report_csv import FIXED_COLUMNS, report_csv
from accelerator_sim.report_text import WIDTH, report_text
from accelerator_sim.targets import TARGETS, load_target, target_text
from accelerator_sim.targets_text import target_table, targets_text
from accelerator_sim.units import bytes_text, number_text, plain, seconds_text
from tests.report.cases import report_of

HOSTILE = "tensor\x1b[31m\n\u202e" + "\u00fc" * 200


def assert_fits(text: str) -> None:
    assert text.isascii()
    for line in text.split("\n"):
        assert len(line) <= WIDTH, line
        assert line.isprintable(), line
        assert line == line.rstrip()


def test_headline_says_speedup_gap_and_share_closed():
    text = report_text(report_of(references={"native": 1.5, "acts-first": 1.2}, bound=0.9))
    assert "1.20x over acts-first, the best reference; 1.50x over native" in text
    assert "at most 11.1 % above the best possible" in text
    assert "66.7 % of what can be closed between acts-first and the proven bound" in text
    assert "does not matter" not in text


@pytest.mark.parametrize("bound", [1.0, 0.9999])
def test_a_gap_that_would_be_printed_as_nothing_is_a_limit(bound):
    text = report_text(report_of(bound=bound))
    assert "less than 0.1 % above the best possible" in text


def test_it_says_where_no_bound_is_proven_and_where_placement_does_not_matter():
    assert "no bound proven" in report_text(report_of())
    text = report_text(report_of(references={"native": 1.01, "ideal": 1.0}, bound=1.0))
    assert "placement does not matter here: native is within 2 % of the proven bound" in text
    assert "gap closed" not in text


def test_it_says_when_something_better_is_known():
    assert "best known" not in report_text(report_of())
    assert "this plan is 25.0 % slower" in report_text(report_of(best_known=0.8))


def test_it_says_which_references_are_missing():
    assert "native found nothing feasible" in report_text(report_of(references={"greedy": 1.1}))
    assert "no reference placement is feasible" in report_text(report_of(references={}))


@given(seed=st.integers(0, 30), target=st.sampled_from(sorted(TARGETS)))
def test_it_fits_a_terminal(seed, target):
    report = report_of(seed, 12, target)
    text = report_text(report)
    assert_fits(text)
    for tier in report.tiers:
        assert f"  {tier.name} " in text
    slowest = max(report.ops, key=lambda op: op.duration_s)
    assert f"  {slowest.name} " in text


def test_names_from_a_model_cannot_break_the_terminal():
    report = report_of(0)
    ops = [
        msgspec.structs.replace(op, name=HOSTILE, stall_tensor=HOSTILE, stall_s=1e-3)
        for op in report.ops
    ]
    assert_fits(report_text(msgspec.structs.replace(report, model=HOSTILE, ops=ops)))


def test_csv_has_a_row_per_op_that_reads_back():
    report = report_of(3)
    rows = list(csv.DictReader(io.StringIO(report_csv(report))))
    assert len(rows) == len(report.ops)
    for row, op in zip(rows, report.ops, strict=True):
        assert {name: row[name] for name in FIXED_COLUMNS} == {
            name: str(getattr(op, name)) for name in FIXED_COLUMNS
        }
        for name, seconds in op.resource_s.items():
            assert float(row[f"{name}_busy_s"]) == seconds
        for name, size in op.traffic_bytes.items():
            assert int(row[f"{name}_traffic_bytes"]) == size
        assert row["homes"].split(";") == [f"{t}={h}" for t, h in op.homes.items()]


@pytest.mark.parametrize("name", TARGETS)
def test_a_target_is_shown_with_every_number_and_its_origin(name):
    target = load_target(name)
    source, _ = target_text(name)
    text = target_table(target, source)
    assert_fits(text[: text.index("\nAbout this file:")])
    # Abbreviated sources are spelled out.
    for short in set(re.findall(r"\[[A-Z0-9]{1,3}\]", target_table(target))):
        assert short in text[text.index("\nAbout this file:") :], short
    joined = " ".join(text.split())
    for tier in target.tiers:
        for field in ("capacity_bytes", "read_bytes_per_s", "latency_s", "energy_j_per_byte"):
            quantity = getattr(tier, field)
            assert f"tiers.{tier.name}.{field}" in text
            origin = f"assumed: {quantity.reason}" if quantity.assumed else quantity.source
            assert " ".join(origin.split()) in joined
    assert f"cores {target.core_count} " in joined
    for entry in target.approximate:
        assert entry in joined
    assert f"{name} " in targets_text([target])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (seconds_text(0), "0 s"),
        (seconds_text(1.2345e-3), "1.234 ms"),
        (seconds_text(4.5e-10), "0.45 ns"),
        (seconds_text(12345.6), "12346 s"),
        (bytes_text(0), "0 B"),
        (bytes_text(1023), "1023 B"),
        (bytes_text(1536), "1.5 KiB"),
        (bytes_text(4 << 20), "4 MiB"),
        (number_text(0.94e9), "940 M"),
        (number_text(92e12), "92 T"),
        (number_text(0.5), "0.5"),
    ],
)
def test_units(text, expected):
    assert text == expected


@given(name=st.text(), width=st.integers(1, 50))
def test_plain_names_are_printable_and_short(name, width):
    text = plain(name, width)
    assert len(text) <= width
    assert text.isascii()
    assert text.isprintable()
    if plain(name) == name and len(name) <= width:
        assert text == name
