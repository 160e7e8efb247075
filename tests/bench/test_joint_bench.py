"""`egrl bench joint`: rows resume, the goal line says what the rows say."""

import json
from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest

from egrl.bench import joint
from egrl.bench.joint_generated import GeneratedRow
from egrl.bench.joint_table import Found, JointRow, document
from egrl.bench.options import BenchOptions
from egrl.compression.joint.goal import AutoOptions
from tests.compression.joint_support import chain_model

FOUND = Found(1.0, 0.1, 1000, {"kept": 1, "8a8": 2}, 1.0)


def row(model: str, target: str, search_s: float, agent_s: float, error: float = 0.1) -> JointRow:
    """A row whose reference takes two seconds and has an error of 0.1."""
    search = msgspec.structs.replace(FOUND, latency_s=search_s, error=error)
    agent = msgspec.structs.replace(FOUND, latency_s=agent_s)
    return JointRow(model, target, "int4", "fp16", 3, 1, 4.0, 0.1, 2.0, 900, search, agent, 3.0)


def rows_of(models: int, targets: int) -> list[JointRow]:
    """Rows that are twice as fast, and a quarter faster."""
    return [row(f"m{m}", f"t{t}", 1.0, 1.6) for m in range(models) for t in range(targets)]


def text_of(rows: list[JointRow], generated: list[GeneratedRow] | None = None) -> str:
    """The document."""
    return document(rows, generated or [], "a machine", AutoOptions(), 0)


def test_goal_needs_models_and_targets_and_no_slower_row() -> None:
    assert "**met** (15 rows, 5 models, 3 targets" in text_of(rows_of(5, 3))
    assert "**short** (12 rows" in text_of(rows_of(4, 3))
    slower = [*rows_of(5, 3), row("m9", "t0", 1.0, 2.5)]
    assert (
        "**short** (16 rows, 6 models, 3 targets; slower in 1, above the error in 0: m9 t0 int4"
        in (text_of(slower))
    )
    over = [*rows_of(5, 3), row("m9", "t0", 1.0, 1.0, error=0.2)]
    assert "slower in 0, above the error in 1: m9 t0 int4" in text_of(over)
    assert "No rows yet." in text_of([])


def test_searches_stand_side_by_side() -> None:
    text = text_of(rows_of(1, 1))
    assert "`search`: faster than uniform by the geometric mean 2.000x" in text
    assert "`agent`: faster than uniform by the geometric mean 1.250x" in text
    assert "`agent` against `search`: faster in 0 rows, slower in 1, geometric mean 0.625x" in text
    assert "| 2.000x, 1.250x |" in text


def test_generated_problems_say_what_learning_adds() -> None:
    problems = [
        GeneratedRow(0, 20, 5, 1.0, 0.9, 0.8, 0.7, 0.7),
        GeneratedRow(1, 20, 5, 1.0, 0.9, 0.8, 0.9, 0.7),
    ]
    text = text_of([], problems)
    assert "| keys at random | 0.8000 | 0 |" in text
    assert "| agent, head trained | 0.7000 | 2 |" in text


def test_rows_are_measured_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    onnx.save(chain_model([64, 96, 64], rows=2), tmp_path / "tiny.onnx")
    np.savez(tmp_path / "tiny.npz", x=rng.standard_normal((2, 64)).astype(np.float32))
    entry = {"file": "tiny.onnx", "dims": {}, "inputs": "tiny.npz"}
    (tmp_path / "index.json").write_text(json.dumps({"tiny": entry}), "utf-8")
    monkeypatch.setattr(joint, "OPTIONS", AutoOptions(nodes=5, rounds=2, evaluations=100))
    monkeypatch.setattr(joint, "EVALUATIONS", 200)
    options = BenchOptions(tmp_path / "joint.md", tmp_path, ["tiny"], ["nnp-i"])
    joint.run(options)
    rows = json.loads((tmp_path / "joint.json").read_text("utf-8"))
    assert sorted(rows) == ["tiny nnp-i int4", "tiny nnp-i int8"]
    for found in rows.values():
        assert found["search"]["latency_s"] <= found["uniform_s"]
        assert found["agent"]["latency_s"] <= found["uniform_s"]
        assert max(found["search"]["error"], found["agent"]["error"]) <= found["error"]
    before = (tmp_path / "joint.json").read_bytes()

    def fail(*_: object) -> None:
        raise AssertionError("measured again")

    monkeypatch.setattr(joint, "_source", fail)
    joint.run(options)
    assert (tmp_path / "joint.json").read_bytes() == before
    assert "tiny" in (tmp_path / "joint.md").read_text("utf-8")
