"""ONNXim and ZigZag: the goals hold, also for rows in another order."""

import pytest

from egrl.validation import onnxim, zigzag
from egrl.validation.statistics import relative_error, summarize
from graph_ir.errors import InputError
from tests.validation.folders import ROWS, cells_of, write


@pytest.fixture(scope="module")
def of_zigzag():
    return zigzag.validate(ROWS)


@pytest.fixture(scope="module")
def of_onnxim():
    return onnxim.validate(ROWS)


def test_onnxim_large_layers_within_ten_percent(of_onnxim):
    points = [p for p in of_onnxim.series[0].points if p.reference > 100_000]
    assert len(points) == 17
    summary = summarize(points)
    assert summary.mean_error <= 0.10
    assert summary.rank_correlation >= 0.95
    assert of_onnxim.checks[0].met


def test_onnxim_is_never_faster_than_the_array_or_its_memory(of_onnxim):
    for row, point in zip(cells_of(onnxim.FILE), of_onnxim.series[0].points, strict=True):
        side = int(row["array"].split("x")[0])
        m, n, k, size = (int(row[key]) for key in ("M", "N", "K", "precision_bytes"))
        bytes_per_cycle = float(row["dram_gbs"]) * 1e3 / float(row["core_mhz"])
        assert point.predicted >= m * n * k / side**2
        assert point.predicted >= (k * n + m * n) * size / bytes_per_cycle


def test_zigzag_ideal_cycles_are_equal(of_zigzag):
    ideal = of_zigzag.series[0].points
    assert len(ideal) == 111
    assert [p for p in ideal if p.predicted != p.reference] == []


def test_zigzag_stalls_within_fifteen_percent(of_zigzag):
    stalled = of_zigzag.series[1].points
    assert summarize(stalled).mean_error <= 0.03
    # The mapper holds 4 of 16 tiles where 8 fit (see the document): both rows of that layer.
    assert {p.name.split()[0] for p in stalled if relative_error(p) > 0.15} == {"sq512"}
    assert summarize(stalled).rank_correlation >= 0.999


def test_zigzag_totals_keep_the_order(of_zigzag):
    totals = of_zigzag.series[2]
    assert len(totals.points) == 50
    assert summarize(totals.points).rank_correlation >= 0.99


@pytest.mark.parametrize("tool", [onnxim, zigzag])
def test_columns_in_another_order_and_fewer_rows(tool, tmp_path, request):
    cells = [row for row in cells_of(tool.FILE) if "sq256" in row["layer"]]
    write(tmp_path / tool.FILE, cells, sorted(cells[0], reverse=True))
    few = tool.validate(tmp_path)
    whole = request.getfixturevalue("of_onnxim" if tool is onnxim else "of_zigzag")
    wanted = [p for p in whole.series[0].points if p.name.startswith("sq256")]
    assert list(few.series[0].points) == wanted


@pytest.mark.parametrize(
    ("tool", "column", "value", "words"),
    [
        (onnxim, "array", "128", "array: expected rows x columns"),
        (onnxim, "array", "0x0", "mac_array.rows: expected 1 to"),
        (onnxim, "precision_bytes", "3", "precision_bytes: expected one of 1, 2, 4"),
        (onnxim, "dram_gbs", "0", "dram_gbs: expected a number above 0"),
        (onnxim, "kind", "pool", "kind: expected one of gemm, conv, fc"),
        (onnxim, "total_cycles", "-1", "total_cycles: expected a number above 0"),
        (zigzag, "M", "", "M: expected a number"),
        (zigzag, "ideal_cycles", "inf", "ideal_cycles: expected a number"),
        (zigzag, "hw", "gemm_l1_512mac", "expected rows of hw ice_*, got none"),
    ],
)
def test_a_wrong_cell_is_one_line(tool, column, value, words, tmp_path):
    cells = [row for row in cells_of(tool.FILE) if row["layer"] == "sq64"][-1:]
    cells[0][column] = value
    write(tmp_path / tool.FILE, cells)
    with pytest.raises(InputError) as caught:
        tool.validate(tmp_path)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_pixels_that_no_padding_gives_are_named(tmp_path):
    cells = [row for row in cells_of(onnxim.FILE) if row["kind"] == "conv"][:1]
    cells[0]["M"] = "12345"
    write(tmp_path / onnxim.FILE, cells)
    with pytest.raises(InputError, match="M: expected the output pixels"):
        onnxim.validate(tmp_path)
