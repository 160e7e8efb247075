import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from egrl.audit.command import run_audit
from egrl.audit.problem import encode_problem, read_problem
from graph_ir.errors import InputError
from tests.audit.test_audit import chain
from tests.audit.test_importers import SHARED, VELA

DOCUMENT = Path(__file__).parents[2] / "docs" / "audit.md"


@pytest.fixture
def problem_path(tmp_path):
    path = tmp_path / "problem.json"
    path.write_bytes(encode_problem(chain()))
    return path


def write_plan(tmp_path, **homes):
    path = tmp_path / "plan.json"
    path.write_text(json.dumps({"schema": 1, "homes": homes}), encoding="utf-8")
    return path


def test_text_and_exit_code_0(problem_path, tmp_path, capsys):
    plan = write_plan(tmp_path, w0="sram", w1="sram", w2="dram")
    assert run_audit(problem_path, plan) == 0
    out = capsys.readouterr().out
    assert out.startswith("chain: 3 ops, 3 tensors, 2 tiers\n")
    assert "above the bound" in out


def test_json_is_one_object_and_nothing_else(problem_path, capsys):
    assert run_audit(problem_path, json_output=True) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["schema"] == 1
    assert captured.err == ""


def test_a_plan_that_does_not_fit_is_exit_code_3(problem_path, tmp_path, capsys):
    plan = write_plan(tmp_path, w0="sram", w1="sram", w2="sram")
    assert run_audit(problem_path, plan) == 3
    assert "200 bytes too many" in capsys.readouterr().out


def test_pins_and_problem_are_written(problem_path, tmp_path, capsys):
    pins, saved = tmp_path / "pins.toml", tmp_path / "saved.json"
    assert run_audit(problem_path, pins_path=pins, write_problem=saved) == 0
    assert tomllib.loads(pins.read_text(encoding="utf-8")) == {"pins": {"w2": "sram", "w0": "dram"}}
    assert saved.read_bytes() == problem_path.read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["pins.toml", "problem.json", "saved.json"]
    capsys.readouterr()


def test_an_unwritable_output_is_one_line_and_leaves_nothing(problem_path, tmp_path):
    target = tmp_path / "folder"
    target.mkdir()
    with pytest.raises(InputError, match="cannot be written"):
        run_audit(problem_path, write_problem=target)
    with pytest.raises(InputError, match="cannot be written"):
        run_audit(problem_path, write_problem=tmp_path / "missing" / "saved.json")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["folder", "problem.json"]


def test_vela_is_judged_by_its_own_placement(tmp_path, capsys):
    saved = tmp_path / "saved.json"
    assert run_audit(VELA, None, False, "vela", select=SHARED, write_problem=saved) == 0
    assert "your plan" in capsys.readouterr().out
    assert read_problem(saved).tiers[1].name == "sram"


def test_minimalloc(tmp_path, capsys):
    path = tmp_path / "m.csv"
    path.write_text("id,lower,upper,size\na,0,2,8\nb,1,3,4\n", encoding="utf-8")
    assert run_audit(path, None, False, "minimalloc", capacity_bytes=8) == 0
    assert "m: 3 ops, 2 tensors" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"import_format": "tvm"}, "--import"),
        ({"import_format": "minimalloc"}, "--capacity"),
        ({"capacity_bytes": 5}, "--capacity"),
        ({"import_format": "minimalloc", "capacity_bytes": -5}, "--capacity"),
        ({"select": {"network": "x"}}, "--select"),
        ({"time_limit_s": 0.0}, "--budget"),
    ],
)
def test_options_that_do_not_go_together(problem_path, options, match):
    with pytest.raises(InputError, match=match):
        run_audit(problem_path, **options)


def test_nothing_heavy_is_imported(problem_path):
    """Not by importing the command, and of the heavy packages only HiGHS by running it."""
    heavy = "{'onnx', 'onnx_ir', 'onnxruntime', 'torch', 'numba', 'gymnasium', 'networkx', 'rich'}"
    code = (
        "import sys; from pathlib import Path; from egrl.audit.command import run_audit\n"
        f"assert not ({heavy} | {{'highspy'}}) & set(sys.modules), sorted(sys.modules)\n"
        f"run_audit(Path({str(problem_path)!r}))\n"
        f"assert not {heavy} & set(sys.modules), sorted(sys.modules)\n"
    )
    root = Path(__file__).parents[2]
    subprocess.run([sys.executable, "-c", code], check=True, cwd=root, capture_output=True)


def test_the_documented_example_runs(tmp_path, capsys):
    blocks = re.findall(r"```json\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    problem, plan = tmp_path / "p.json", tmp_path / "t.json"
    problem.write_text(blocks[0], encoding="utf-8")
    plan.write_text(blocks[2], encoding="utf-8")
    assert run_audit(problem, plan) == 0
    assert "tiny: 2 ops, 4 tensors, 2 tiers" in capsys.readouterr().out
