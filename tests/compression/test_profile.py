"""What onnxruntime took: kernels and times joined to the ops of the plan."""

import json

import numpy as np
import onnx
import pytest

from egrl.cli.main import main
from egrl.compilation import compile_model
from graph_ir.errors import InputError
from runtime.load import load_artifact
from runtime.npz import write_outputs
from runtime.profile import profile_artifact
from runtime.profile_graph import executed_graph
from runtime.profile_text import profile_text
from tests.compression.graphs import FAST, graph_model, normal
from tests.graph_ir.tiny_models import TINY_DIMS, TINY_MODELS

INNER = 64


@pytest.fixture(scope="module")
def artifact(tmp_path_factory):
    """Two products, the second with a residual, int4."""
    folder = tmp_path_factory.mktemp("artifact")
    text = f"""agraph (float[1, 4, {INNER}] x) => (float[1, 4, {INNER}] y) {{
      p = MatMul(x, W) a = Add(p, b) h = Tanh(a) q = MatMul(h, V) y = Add(q, x)
    }}"""
    weights = {"W": normal(0, (INNER, INNER)), "V": normal(1, (INNER, INNER))}
    onnx.save(graph_model(text, {**weights, "b": normal(2, (INNER,))}, 18), folder / "m.onnx")
    compile_model(
        folder / "m.onnx", out=folder / "m.egrl", compress=("int4:rtn",), placer="acts-first"
    )
    return load_artifact(folder / "m.egrl")


@pytest.fixture
def feeds():
    return {"x": normal(3, (1, 4, INNER))}


def test_every_op_has_its_kernels_and_times(artifact, feeds):
    done = profile_artifact(artifact, feeds, repeats=3)
    profile = done.profile
    assert [op.name for op in profile.ops] == [op.name for op in artifact.plans["main"].ops]
    products = [op for op in profile.ops if "MatMulNBits" in op.kernels]
    assert len(products) == 2
    assert all(op.measured_s > 0 for op in products)
    for op in profile.ops:
        assert op.measured_s == pytest.approx(sum(op.kernels.values()))
        assert bool(op.kernels) != bool(op.inside)
        assert op.simulated_s > 0
    total = sum(op.measured_s for op in profile.ops) + profile.other_s
    assert total == pytest.approx(profile.kernels_s)
    assert profile.kernels_s <= profile.inference_s
    assert profile.simulated_s == artifact.reports["main"].latency_s
    assert (profile.repeats, profile.threads) == (3, 1)


def test_nothing_is_written_into_the_artifact(artifact, feeds):
    before = {f.name: f.read_bytes() for f in artifact.path.iterdir()}
    profile_artifact(artifact, feeds, repeats=1)
    assert {f.name: f.read_bytes() for f in artifact.path.iterdir()} == before


@pytest.mark.parametrize("name", ["resnet_bottleneck", "bert_layer", "qdq_conv", "decoder_step"])
def test_kernels_of_all_exporters_are_joined(tmp_path, name):
    onnx.save(TINY_MODELS[name](), tmp_path / "m.onnx")
    compile_model(
        tmp_path / "m.onnx",
        out=tmp_path / "m.egrl",
        dims=TINY_DIMS.get(name, {}),
        placer="acts-first",
    )
    artifact = load_artifact(tmp_path / "m.egrl")
    executed = executed_graph(artifact.model_path("main"), FAST)
    made = {
        name for node in onnx.load(artifact.model_path("main")).graph.node for name in node.output
    }
    assert all(kernel.value in made for kernel in executed.kernels)


def test_text_names_slowest_first_and_stays_narrow(artifact, feeds):
    text = profile_text(profile_artifact(artifact, feeds, repeats=2).profile)
    lines = text.splitlines()
    assert "MatMulNBits" in text
    assert "simulated on the accelerator" in text
    assert all(line.isascii() and len(line) <= 100 for line in lines)
    assert lines[3].split() == ["op", "measured", "simulated", "onnxruntime's", "kernels"]


def test_bad_requests_are_one_line(artifact, feeds):
    with pytest.raises(InputError, match="repeats: expected at least 1, got 0"):
        profile_artifact(artifact, feeds, repeats=0)
    with pytest.raises(InputError, match="input 'x': expected shape"):
        profile_artifact(artifact, {"x": np.zeros((2, 2), np.float32)})


def test_the_command(artifact, feeds, tmp_path, capsys):
    write_outputs(tmp_path / "in.npz", feeds)
    run = ["run", str(artifact.path), "--inputs", str(tmp_path / "in.npz")]
    assert main([*run, "--profile", "--repeat", "2", "--json"]) == 0
    profile = json.loads(capsys.readouterr().out)["profile"]
    assert profile["repeats"] == 2
    assert main([*run, "--profile", "-o", str(tmp_path / "out.npz")]) == 0
    assert "onnxruntime's kernels" in capsys.readouterr().out
    assert np.load(tmp_path / "out.npz")["y"].shape == (1, 4, INNER)


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        (["--repeat", "3", "-o", "o.npz"], "--repeat: expected --profile beside it"),
        (["--json", "-o", "o.npz"], "--json: expected --profile beside it"),
        (["--profile", "--check-plan"], "--profile and --check-plan: expected one of them"),
        ([], "-o: expected a file for the outputs, got none"),
    ],
)
def test_flags_that_say_nothing_together_are_refused(artifact, flags, reason, capsys):
    assert main(["run", str(artifact.path), "--inputs", "in.npz", *flags]) == 2
    assert reason in capsys.readouterr().err


def test_inspect_says_which_kernels_execute_it(artifact, capsys):
    assert main(["inspect", str(artifact.path)]) == 0
    text = capsys.readouterr().out
    assert "executed by 2 MatMulNBits of 4 bits in blocks of 32, accuracy 4" in text
