import pytest

from egrl.bench.kv import exactness, speed, speed_cases
from egrl.bench.kv.rows import Book, Row
from egrl.bench.settings import Settings
from graph_ir.errors import InputError


def test_exactness_is_measured_and_written_down(tmp_path, monkeypatch):
    monkeypatch.setattr(exactness, "PROMPT", 20)
    monkeypatch.setattr(exactness, "TOTAL", 50)
    monkeypatch.setattr(exactness, "WINDOW", 12)
    monkeypatch.setattr(exactness, "CHUNK", 8)
    monkeypatch.setattr(exactness, "CASES", exactness.CASES[:1])
    book = Book(tmp_path / "kv.json")
    exactness.measure(Settings(tmp_path, methods=("onnxruntime",)), book)
    lines = exactness.section(book.rows())
    # The other form has no row yet.
    assert any("**short**" in line for line in lines)
    exactness.measure(Settings(tmp_path), book)
    lines = exactness.section(book.rows())
    assert any("At most 1e-05 absolute: **met**" in line for line in lines)
    assert sum("grouped, 8 query heads" in line for line in lines) == 2
    with pytest.raises(InputError, match="--method fast: expected one of standard; onnxruntime"):
        exactness.measure(Settings(tmp_path, methods=("fast",)), book)


def test_speed_of_a_layer_is_measured_and_written_down(tmp_path, monkeypatch):
    shape = speed_cases.Shape("small layer", 4, 2, 8, (1100,))
    monkeypatch.setattr(speed, "SHAPES", (shape,))
    monkeypatch.setattr(speed, "ROUNDS", 2)
    monkeypatch.setattr(speed, "resident_bytes", lambda *_: 1 << 20)
    monkeypatch.setattr(speed, "GOAL_CONTEXT", 1100)
    monkeypatch.setattr(speed, "GOAL_SHORT", 1100)
    book = Book(tmp_path / "kv.json")
    speed.measure(Settings(tmp_path, models=("small layer",)), book)
    rows = book.rows()
    assert {row.method for row in rows.values()} == set(speed_cases.VARIANTS)
    metrics = {row.method: row.metrics for row in rows.values()}
    assert metrics["full"]["ratio"] == 1.0
    # 2 heads of 8 channels, keys and values, 4 bytes; one head has 1029 slots instead of 1100.
    assert metrics["full"]["cache_bytes"] == 2 * 1100 * 8 * 2 * 4
    assert metrics["pruned"]["cache_bytes"] == (1100 + 1029) * 8 * 2 * 4
    lines = speed.section(rows)
    assert sum(line.startswith("| small layer, 1,100") for line in lines) == len(rows)
    assert any("a prompt's throughput" in line and "not measured" in line for line in lines)


def test_what_is_the_same_graph_is_timed_once(tmp_path, monkeypatch):
    shape = speed_cases.Shape("small layer", 4, 2, 8, (256,))
    monkeypatch.setattr(speed, "SHAPES", (shape,))
    monkeypatch.setattr(speed, "ROUNDS", 2)
    monkeypatch.setattr(speed, "resident_bytes", lambda *_: 1 << 20)
    book = Book(tmp_path / "kv.json")
    speed.measure(Settings(tmp_path, models=("small layer",)), book)
    metrics = {row.method: row.metrics for row in book.rows().values()}
    for bits in ("", ", int8", ", int4"):
        assert metrics[f"pruned{bits}"] == metrics[f"full{bits}"]
    assert metrics["full, int8"] != metrics["full"]


def test_goals_of_speed_are_computed_from_rows():
    def row(case, ratio):
        made = Row("speed", case, "pruned", {"ms": 1.0, "ratio": ratio, "rounds": 1.0})
        return made.key, made

    long = f"{speed_cases.SHAPES[0].name}, 32,768"
    assert "**short**, 3.90" in speed._goals(dict([row(long, 3.9)]))[0]
    assert "**met**, 4.10" in speed._goals(dict([row(long, 4.1)]))[0]
    assert "not measured" in speed._goals({})[1]
