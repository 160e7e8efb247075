"""`egrl sweep`: points, outputs, errors before anything runs, an interrupt that keeps points."""

import csv
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import onnx
import pytest

from egrl.cli.main import main
from tests.graph_ir.tiny_models import TINY_MODELS

FAST = ["--placer", "acts-first", "--processes", "1"]
CAPACITY = ["--vary", "SRAM.capacity_bytes=600KiB,1MiB,4MiB"]


def symbolic_model() -> onnx.ModelProto:
    """A matrix product over a symbolic batch and sequence."""
    model = onnx.parser.parse_model(
        """<ir_version: 8, opset_import: ["" : 17]>
        main (float[N, seq, 64] x) => (float[N, seq, 64] z)
        <float[64, 64] w, float[64, 64] v> { y = MatMul(x, w)  r = Relu(y)  z = MatMul(r, v) }"""
    )
    for name in ("w", "v"):
        tensor = onnx.helper.make_tensor(name, onnx.TensorProto.FLOAT, [64, 64], [0.5] * 4096)
        model.graph.initializer.append(tensor)
    return model


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("sweep")
    onnx.save(TINY_MODELS["resnet_bottleneck"](), path / "model.onnx")
    onnx.save(symbolic_model(), path / "symbolic.onnx")
    return path


def test_one_axis_gives_a_line_and_a_row_for_each_point(folder, tmp_path, capsys):
    table = tmp_path / "points.csv"
    model = str(folder / "model.onnx")
    assert main(["sweep", model, *CAPACITY, *FAST, "-o", str(table)]) == 0
    captured = capsys.readouterr()
    assert all(line.startswith("sweep: ") for line in captured.err.splitlines())
    assert len(captured.err.splitlines()) == 4
    rows = list(csv.DictReader(io.StringIO(table.read_text())))
    sizes = [600 * 1024, 2**20, 2**22]
    assert [int(row["SRAM.capacity_bytes"]) for row in rows] == sizes
    for row, label in zip(rows, ("600KiB", "1MiB", "4MiB"), strict=True):
        assert float(row["latency_s"]) >= float(row["ideal_s"]) * (1 - 1e-9)
        assert row["failure"] == ""
        assert any(line.startswith(f"  {label} ") for line in captured.out.splitlines())
    assert captured.out.count("#") > 10


def test_two_axes_make_a_folder_with_all_forms(folder, tmp_path, capsys):
    out = tmp_path / "new"
    symbolic = str(folder / "symbolic.onnx")
    axes = ["--vary", "dim:seq=16,32", "--vary", "DRAM.bandwidth=0.5x,1x", "--dim", "N=1"]
    assert main(["sweep", symbolic, *axes, *FAST, "-o", str(out)]) == 0
    assert sorted(path.name for path in out.iterdir()) == ["sweep.csv", "sweep.html", "sweep.json"]
    found = json.loads((out / "sweep.json").read_text())
    points = {tuple(point["labels"]): point["latency_s"] for point in found["points"]}
    assert list(points) == [("16", "0.5x"), ("16", "1x"), ("32", "0.5x"), ("32", "1x")]
    assert points["16", "0.5x"] > points["16", "1x"]
    assert points["32", "1x"] > points["16", "1x"]
    capsys.readouterr()
    page = (out / "sweep.html").read_text()
    assert "DRAM.bandwidth = 0.5x" in page
    assert len(page) < 3_000_000


def test_batch_is_the_first_axis_of_the_inputs(folder, capsys):
    symbolic = str(folder / "symbolic.onnx")
    arguments = ["--vary", "batch=1,4", "--dim", "seq=8", *FAST, "--json"]
    assert main(["sweep", symbolic, *arguments]) == 0
    captured = capsys.readouterr()
    first, second = json.loads(captured.out)["points"]
    assert first["latency_s"] < second["latency_s"]
    assert main(["sweep", str(folder / "model.onnx"), "--vary", "batch=1,4"]) == 2
    assert "symbolic first axis" in capsys.readouterr().err


def test_the_bytes_depend_on_neither_the_processes_nor_the_run(folder, tmp_path, capsys):
    contents = []
    for processes in ("1", "2"):
        out = tmp_path / f"{processes}.csv"
        arguments = ["--placer", "guided", "--budget", "300ev", "--processes", "2"]
        model = str(folder / "model.onnx")
        assert main(["sweep", model, *CAPACITY, *arguments, "-o", str(out)]) == 0
        contents.append(out.read_bytes())
    assert contents[0] == contents[1]


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["--vary", "colour=1"], "no such number"),
        (["--vary", "SRAM.capacity_bytes=1MiB,0"], "more than 0"),
        (["--vary", "SRAM.capacity_bytes=1MiB,2KiB"], "staging_bytes"),
        (["--vary", "DRAM.bandwidth=1x,1000x"], "slower than DRAM"),
        (["--vary", "dim:seq=1,2"], "no dimension called"),
        ([*CAPACITY, "--vary", "clock_hz=1x", "--vary", "cores=2"], "one or two axes"),
        ([*CAPACITY, *CAPACITY], "varies the same"),
        ([*CAPACITY, "--placer", "nobody"], "placer nobody"),
        ([*CAPACITY, "--target", "nowhere"], "target nowhere"),
        ([*CAPACITY, "--precision", "fp7"], "fp7"),
        ([*CAPACITY, "-o", "no/such/dir"], "no folder"),
        ([*CAPACITY, "--html", "no/such/f.html"], "no folder"),
        ([*CAPACITY, "--budget", "soon"], "budget soon"),
        ([], "--vary"),
    ],
)
def test_what_is_wrong_is_one_line_before_anything_runs(
    folder, tmp_path, monkeypatch, capsys, arguments, part
):
    monkeypatch.chdir(tmp_path)
    assert main(["sweep", str(folder / "model.onnx"), "--processes", "1", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    (error,) = [line for line in captured.err.splitlines() if not line.startswith("sweep: ")]
    assert part in error
    assert " of " not in captured.err.replace(error, "")
    assert not list(tmp_path.iterdir())


def test_a_point_where_nothing_fits_is_a_row_that_says_why(folder, tmp_path, capsys):
    table = tmp_path / "points.csv"
    arguments = ["--vary", "DRAM.capacity_bytes=64,1GiB", *FAST, "-o", str(table)]
    assert main(["sweep", str(folder / "model.onnx"), *arguments]) == 0
    first, second = csv.DictReader(io.StringIO(table.read_text()))
    assert first["latency_s"] == ""
    assert first["failure"]
    assert float(second["latency_s"]) > 0
    assert "  64 " in capsys.readouterr().out


def test_an_interrupt_keeps_the_finished_points(folder, tmp_path):
    table = tmp_path / "points.csv"
    model = str(folder / "model.onnx")
    command = [sys.executable, "-m", "egrl", "sweep", model, "--vary",
               "SRAM.capacity_bytes=1MiB,2MiB,3MiB,4MiB,5MiB,6MiB,7MiB,8MiB", "--placer", "guided",
               "--budget", "3s", "--processes", "2", "-o", str(table)]  # fmt: skip
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stderr is not None
    assert process.stderr.readline() == "sweep: reading model.onnx\n"
    line = process.stderr.readline()
    assert line.startswith("sweep: 1 of 8: SRAM.capacity_bytes=")
    time.sleep(0.2)
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "of 8 points were finished" in err
    assert "of 8 points were finished" in out
    assert 2 <= len(table.read_text().splitlines()) < 9


def test_a_process_that_is_killed_does_not_take_the_finished_points_along(folder, tmp_path):
    table = tmp_path / "points.csv"
    model = str(folder / "model.onnx")
    command = [sys.executable, "-m", "egrl", "sweep", model, "--vary",
               "SRAM.capacity_bytes=1MiB,2MiB,3MiB,4MiB,5MiB,6MiB,7MiB,8MiB", "--placer", "guided",
               "--budget", "3s", "--processes", "2", "-o", str(table)]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    assert process.stderr.readline() == "sweep: reading model.onnx\n"
    assert process.stderr.readline().startswith("sweep: 1 of 8: SRAM.capacity_bytes=")
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    workers = [c for c in children if b"spawn_main" in Path(f"/proc/{c}/cmdline").read_bytes()]
    os.kill(int(workers[0]), signal.SIGKILL)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "egrl: error: a process of the sweep died (out of memory?): " in err
    assert "Traceback" not in err
    assert "of 8 points were finished" in out
    assert 2 <= len(table.read_text().splitlines()) < 9
