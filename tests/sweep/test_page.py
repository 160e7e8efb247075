"""The page of a sweep: its plot and its table say what the points say, and nothing is loaded."""

import csv
import io
import json
import re

import pytest

from accelerator_sim.units import seconds_text
from egrl.sweep.page import plot_data, sweep_html
from egrl.sweep.result import (
    COLUMNS,
    AxisValues,
    PointResult,
    Sweep,
    SweepPoint,
    sweep_csv,
    sweep_json,
)
from egrl.sweep.text import WIDTH, sweep_text
from tests.report.test_html_browser import browser, complaints, wait  # noqa: F401

HOSTILE = "</script><script>alert(1)</script>\x1b[31m\n&\u00fc"


def result(latency_s: float) -> PointResult:
    return PointResult(
        latency_s, 2 * latency_s, 0.8 * latency_s, 0.25, 1.5 * latency_s, "greedy",
        1.2 * latency_s, 0.5 * latency_s, 1e-3, "",
    )  # fmt: skip


def failed(why: str) -> PointResult:
    return PointResult(None, None, None, None, None, "", None, None, None, why)


def sweep_of(axes: int = 1, name: str = "SRAM.capacity_bytes", why: str = "too large") -> Sweep:
    first = AxisValues(name, (2.0**20, 2.0**21, 2.0**22), ("1MiB", "2MiB", "4MiB"))
    second = AxisValues("dim:seq", (32.0, 64.0), ("32", "64"))
    if axes == 1:
        points = [((0,), failed(why)), ((1,), result(2e-3)), ((2,), result(1e-3))]
    else:
        points = [((i, j), result((1 + i + 10 * j) * 1e-3)) for i in range(3) for j in range(2)]
    return Sweep(
        name if name == HOSTILE else "model.onnx", "nnp-i", "fp16", "auto", "2s", 0,
        (first,) if axes == 1 else (first, second), tuple(SweepPoint(*point) for point in points),
    )  # fmt: skip


def test_one_axis_has_a_line_for_latency_bound_and_references():
    data = plot_data(sweep_of())
    assert data["unit"] == "ms"
    assert data["x"] == {"name": "SRAM.capacity_bytes", "labels": ["1MiB", "2MiB", "4MiB"]}
    lines = {line["name"]: line["values"] for line in data["series"]}
    assert lines["latency"] == [None, pytest.approx(2.0), pytest.approx(1.0)]
    assert lines["proven bound"] == [None, pytest.approx(1.6), pytest.approx(0.8)]
    assert lines.keys() == {"latency", "proven bound", "best reference", "native", "ideal memory"}


def test_two_axes_have_a_line_for_each_value_of_the_second():
    lines = {line["name"]: line["values"] for line in plot_data(sweep_of(2))["series"]}
    assert lines["dim:seq = 32"] == pytest.approx([1.0, 2.0, 3.0])
    assert lines["dim:seq = 64"] == pytest.approx([11.0, 12.0, 13.0])


def test_unfinished_points_are_gaps():
    whole = sweep_of(2)
    part = Sweep(**{n: getattr(whole, n) for n in Sweep.__slots__} | {"points": whole.points[1:]})
    lines = {line["name"]: line["values"] for line in plot_data(part)["series"]}
    assert lines["dim:seq = 32"][0] is None
    assert "5 of 6 points" in sweep_html(part)
    assert "5 of 6 points were finished" in sweep_text(part)


def test_csv_and_json_have_every_number_in_si_units():
    sweep = sweep_of()
    rows = list(csv.DictReader(io.StringIO(sweep_csv(sweep))))
    found = json.loads(sweep_json(sweep))["points"]
    assert [row["SRAM.capacity_bytes"] for row in rows] == ["1048576", "2097152", "4194304"]
    for row, entry, point in zip(rows, found, sweep.points, strict=True):
        for name in COLUMNS:
            value = getattr(point.result, name)
            assert entry[name] == value
            assert row[name] == ("" if value is None else str(value))


@pytest.mark.parametrize("axes", [1, 2])
def test_text_is_plain_and_fits(axes):
    for sweep in (sweep_of(axes), sweep_of(axes, HOSTILE, HOSTILE * 9)):
        text = sweep_text(sweep)
        assert text.isascii()
        for line in text.split("\n"):
            assert len(line) <= WIDTH
            assert line.isprintable()
            assert line == line.rstrip()
    bars = [line.count("#") for line in sweep_text(sweep_of(2)).split("\n") if "#" in line]
    assert bars[-1] == max(bars) == 24
    assert bars[0] == round(24 / 13)


def test_names_cannot_leave_their_place():
    page = sweep_html(sweep_of(1, HOSTILE, HOSTILE))
    assert page.count("<script") == 3
    assert "alert(1)</script>" not in page
    assert page == sweep_html(sweep_of(1, HOSTILE, HOSTILE))
    assert not re.search(r"\$(policy|title|table|data|library|program)\b", page[:6000])


@pytest.mark.parametrize("axes", [1, 2])
def test_the_page_draws_in_a_browser_without_complaint(axes, browser, tmp_path):  # noqa: F811
    path = tmp_path / "sweep.html"
    sweep = sweep_of(axes, why="<b>too large</b>")
    path.write_text(sweep_html(sweep), "utf-8")
    browser.get_log("browser")
    browser.get(path.as_uri())
    wait(browser, "return document.querySelectorAll('#plot canvas').length > 0")
    assert complaints(browser) == []
    cells = browser.execute_script(
        "return Array.from(document.querySelectorAll('tbody tr')).map(r => r.innerText)"
    )
    assert len(cells) == len(sweep.points)
    for cell, point in zip(cells, sweep.points, strict=True):
        latency_s = point.result.latency_s
        assert (point.result.failure if latency_s is None else seconds_text(latency_s)) in cell
