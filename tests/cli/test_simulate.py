"""`egrl simulate`: several cases side by side, every output, and what it refuses."""

import hashlib
import json
import os
import shutil
from pathlib import Path

import onnx
import pytest

import egrl
from egrl.cli.main import main
from egrl.cli.simulate import output_paths
from tests.graph_ir.tiny_models import TINY_MODELS

TWO = ["--placer", "native", "--placer", "acts-first"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("simulate")
    onnx.save(TINY_MODELS["resnet_bottleneck"](), path / "model.onnx")
    for name, target in (("a", "nnp-i"), ("b", "ethos-u65-512")):
        arguments = ["compile", str(path / "model.onnx"), "--target", target]
        assert main([*arguments, "--placer", "acts-first", "-o", str(path / f"{name}.egrl")]) == 0
    return path


def test_placers_are_shown_one_by_one_and_then_side_by_side(folder, capsys):
    assert main(["simulate", str(folder / "model.onnx"), *TWO]) == 0
    out = capsys.readouterr().out
    assert out.count("What each tier holds") == 2
    table = out.partition("Side by side")[2]
    assert "A   model.onnx.native, placed by native on nnp-i (fp16)" in table
    assert "B   model.onnx.acts-first, placed by acts-first on nnp-i (fp16)" in table
    for row in ("latency", "against A", "proven gap", "energy", "power", "SRAM peak", "DRAM busy"):
        assert f"\n  {row} " in table
    assert main(["simulate", str(folder / "model.onnx"), "--placer", "native"]) == 0
    assert "Side by side" not in capsys.readouterr().out


def test_artifacts_of_different_targets_are_compared(folder, capsys):
    assert main(["simulate", str(folder / "a.egrl"), str(folder / "b.egrl")]) == 0
    table = capsys.readouterr().out.partition("Side by side")[2]
    assert "on nnp-i" in table
    assert "on ethos-u65-512" in table


def test_an_artifact_is_shown_as_planned_beside_placers_that_were_asked_for(folder):
    cases = egrl.simulate([folder / "a.egrl"], placers=["native", "native"], budget="1ev")
    assert [case.report.placer for case in cases] == ["acts-first", "native"]
    assert cases[0].note == ""
    assert "placed again for nnp-i with native" in cases[1].note
    (other,) = egrl.simulate([folder / "a.egrl"], target="ethos-u65-512", placers=["native"])
    assert other.note.startswith("compiled for nnp-i; placed again for ethos-u65-512")
    for case in (*cases, other):
        assert [tier.name for tier in case.plan.tiers] == [t.name for t in case.report.tiers]
        assert case.advice == ()


def test_an_artifact_of_another_cost_model_is_told_to_be_compiled_again(folder, tmp_path, capsys):
    out = tmp_path / "old.egrl"
    shutil.copytree(folder / "a.egrl", out)
    report = json.loads((out / "main.report.json").read_bytes())
    report["latency_s"] *= 2
    # Above what the plan takes now, so that nothing may compare the two first.
    report["lower_bound_s"] = 0.9 * report["latency_s"]
    text = json.dumps(report).encode()
    (out / "main.report.json").write_bytes(text)
    manifest = json.loads((out / "manifest.json").read_bytes())
    manifest["files"]["main.report.json"] = {
        "sha256": hashlib.sha256(text).hexdigest(),
        "size_bytes": len(text),
    }
    (out / "manifest.json").write_text(json.dumps(manifest))
    assert main(["simulate", str(out)]) == 2
    error = capsys.readouterr().err
    assert "compiled by another version of the simulator; compile it again" in error
    assert error.count("\n") == 1


def test_every_output_is_written_and_named(folder, tmp_path, capsys):
    outputs = {flag: tmp_path / f"out.{flag}" for flag in ("markdown", "trace", "csv", "html")}
    given = [text for flag, path in outputs.items() for text in (f"--{flag}", str(path))]
    assert main(["simulate", str(folder / "model.onnx"), *TWO, *given, "--no-advice"]) == 0
    out = capsys.readouterr().out
    names = ["out.html", "out.markdown"]
    names += [f"out.model.onnx.{p}.{s}" for s in ("csv", "trace") for p in ("acts-first", "native")]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names)
    assert [line for line in out.splitlines() if line.startswith("wrote ")].__len__() == 6
    assert (tmp_path / "out.markdown").read_text().startswith("### Placements side by side")
    assert "What would help" not in out


def test_advice_is_given_when_asked_for_and_with_a_page(folder, tmp_path, capsys):
    model = ["simulate", str(folder / "model.onnx"), "--placer", "acts-first"]
    page = ["--html", str(tmp_path / "page.html")]
    for arguments, advised in (([], False), (["--advice"], True), (page, True),
                               ([*page, "--no-advice"], False)):  # fmt: skip
        assert main([*model, *arguments]) == 0
        assert ("What would help" in capsys.readouterr().out) == advised


def test_json_holds_the_advice(folder, capsys):
    arguments = ["simulate", str(folder / "model.onnx"), "--placer", "all-outermost"]
    assert main([*arguments, "--advice", "--json"]) == 0
    captured = capsys.readouterr()
    assert captured.out.count("\n") == 1
    (case,) = json.loads(captured.out)["simulations"]
    assert set(case) == {"name", "note", "report", "advice"}
    assert case["advice"]
    for entry in case["advice"]:
        assert set(entry) == {"kind", "text", "latency_s", "change"}
        assert entry["latency_s"] < case["report"]["latency_s"]


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["--placer", "nobody"], "placer nobody: unknown"),
        (["--html", "no/such/page.html"], "no folder"),
        (["--csv", "same", "--trace", "same"], "a file of its own"),
        (["--markdown", "."], "it is a folder"),
        (["--budget", "soon"], "budget soon"),
        ([*["again.onnx"] * 24, "--html", "page.html"], "at most 24 cases"),
    ],
)
def test_what_is_wrong_is_one_line_and_leaves_nothing(
    folder, tmp_path, monkeypatch, capsys, arguments, part
):
    monkeypatch.chdir(tmp_path)
    assert main(["simulate", str(folder / "model.onnx"), *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert part in captured.err
    assert not list(tmp_path.iterdir())


def test_a_device_may_take_several_outputs(folder, capsys):
    null = ["--csv", os.devnull, "--trace", os.devnull]
    assert main(["simulate", str(folder / "model.onnx"), "--placer", "native", *null]) == 0
    assert os.path.exists(os.devnull)


def test_output_paths_are_different_and_stay_in_their_folder():
    names = ["a/b", "a_b", "é", "x" * 300]
    paths = output_paths(Path("dir/f.json"), names)
    assert len(set(paths)) == 4
    assert all(path.parent == Path("dir") for path in paths)
    assert all(len(path.name) < 120 and path.suffix == ".json" for path in paths)
    assert output_paths(None, names) == [None] * 4
    assert output_paths(Path("f"), ["only"]) == [Path("f")]
