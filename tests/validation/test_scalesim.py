"""Every row of SCALE-Sim, lowered and evaluated as a graph of one op, to the cycle."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from egrl.validation import scalesim
from egrl.validation.rows import Row, read_rows
from graph_ir.errors import InputError
from tests.validation.folders import ROWS, cells_of, write

SAMPLE = 400


def test_every_row_of_version_three_is_equal():
    rows = read_rows(ROWS / scalesim.LAYERS_FILE, scalesim.LAYER_COLUMNS)
    points = [scalesim.layer_point(row) for row in rows]
    assert len(points) == 351
    assert [p for p in points if p.predicted != p.reference] == []


def test_a_sample_of_the_table_is_equal():
    rows = read_rows(ROWS / scalesim.TABLE_FILE, scalesim.TABLE_COLUMNS)
    chosen = np.random.default_rng(3).choice(len(rows), SAMPLE, replace=False)
    points = [scalesim.table_point(rows[index]) for index in chosen.tolist()]
    assert [p for p in points if p.predicted != p.reference] == []


def test_columns_in_another_order_and_fewer_rows(tmp_path):
    layers, table = cells_of(scalesim.LAYERS_FILE), cells_of(scalesim.TABLE_FILE)
    write(tmp_path / scalesim.LAYERS_FILE, layers[40:60], sorted(layers[0], reverse=True))
    write(tmp_path / scalesim.TABLE_FILE, table[-7:], sorted(table[0]))
    result = scalesim.validate(tmp_path)
    assert [len(series.points) for series in result.series] == [20, 7]
    assert all(check.met for check in result.checks)
    assert [check.measured for check in result.checks] == ["20 of 20 equal", "7 of 7 equal"]


def test_a_row_that_differs_is_counted(tmp_path):
    layers, table = cells_of(scalesim.LAYERS_FILE)[:3], cells_of(scalesim.TABLE_FILE)[:2]
    layers[1]["total_cycles"] = str(int(layers[1]["total_cycles"]) + 1)
    write(tmp_path / scalesim.LAYERS_FILE, layers)
    write(tmp_path / scalesim.TABLE_FILE, table)
    checks = scalesim.validate(tmp_path).checks
    assert [check.met for check in checks] == [False, True]
    assert checks[0].measured == "2 of 3 equal"


def folded_cycles(dataflow: str, m: int, n: int, k: int, rows: int, cols: int) -> int:
    """Cycle by cycle: every fold loads what stays, then streams what moves, then drains."""
    along, across, moving, preload = {
        "ws": (k, n, m, rows),
        "is": (k, m, n, rows),
        "os": (m, n, k, 0),
    }[dataflow]
    cycles = 0
    for _ in range(0, along, rows):
        for _ in range(0, across, cols):
            skew = (rows - 1) + (cols - 1)  # the last cell starts this much after the first
            cycles += preload + skew + moving
    return cycles - 1


extent = st.integers(1, 300)


@given(
    st.sampled_from(["ws", "os", "is"]), extent, extent, extent, st.integers(2, 64),
    st.integers(2, 64),
)  # fmt: skip
def test_other_sizes_follow_the_folds(dataflow, m, n, k, rows, cols):
    cells = {"M": m, "N": n, "K": k, "rows": rows, "cols": cols, "dataflow": dataflow, "cycles": 1}
    row = Row("row", {key: str(value) for key, value in cells.items()})
    assert scalesim.table_point(row).predicted == folded_cycles(dataflow, m, n, k, rows, cols)


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("M", "0", "M: expected a whole number from 1"),
        ("K", "-3", "K: expected a whole number"),
        ("N", "many", "N: expected a number, got 'many'"),
        ("N", "1e30", "N: expected a whole number"),
        ("rows", "12.5", "rows: expected a whole number"),
        ("dataflow", "rs", "dataflow: expected one of ws, os, is, got 'rs'"),
        ("total_cycles", "nan", "total_cycles: expected a number"),
    ],
)
def test_a_wrong_cell_is_named(tmp_path, column, value, words):
    layers = [row for row in cells_of(scalesim.LAYERS_FILE) if row["kind"] == "gemm"][:4]
    layers[2][column] = value
    write(tmp_path / scalesim.LAYERS_FILE, layers)
    write(tmp_path / scalesim.TABLE_FILE, cells_of(scalesim.TABLE_FILE)[:2])
    with pytest.raises(InputError) as caught:
        scalesim.validate(tmp_path)
    assert words in str(caught.value)
    assert f"{scalesim.LAYERS_FILE}:4: " in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_filter_larger_than_the_input_is_named(tmp_path):
    layers = [row for row in cells_of(scalesim.LAYERS_FILE) if row["kind"] == "conv"][:1]
    layers[0]["kh"] = str(int(layers[0]["ifmap_h_padded"]) + 1)
    write(tmp_path / scalesim.LAYERS_FILE, layers)
    write(tmp_path / scalesim.TABLE_FILE, cells_of(scalesim.TABLE_FILE)[:2])
    with pytest.raises(InputError, match="kh: expected a filter that fits"):
        scalesim.validate(tmp_path)
