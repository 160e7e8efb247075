"""Compressions of several parts: how they are named, ordered, given options and recorded."""

import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import msgspec
import numpy as np
import onnx
import onnx_ir as ir
import pytest

from egrl.cli.main import main
from egrl.compilation import compile_model
from egrl.compression import registry
from egrl.compression.compress import Compression, compress
from egrl.compression.quantize import quantize_sites
from egrl.compression.recipe import read_recipe
from egrl.compression.runner import OnnxRuntimeRunner
from egrl.compression.spec import parse_spec
from graph_ir.compression.grid import Grid
from graph_ir.compression.method import Correction, Data, ModelMethod, Preparation
from graph_ir.compression.methods.gptq import Gptq
from graph_ir.compression.methods.rtn import Rtn
from graph_ir.compression.sites import find_sites
from graph_ir.errors import InputError
from graph_ir.opset import raise_opset
from graph_ir.passes.base import PassResult
from runtime.compression import layers_bits
from runtime.load import load_artifact
from runtime.manifest import MANIFEST_FILE
from tests.compression.chains import loaded, residual_model
from tests.compression.convolutions import one_convolution
from tests.compression.products import product_model


@dataclass(frozen=True, slots=True)
class Halve(Preparation):
    """Halves a weight: not lossless, so that a test sees it."""

    name: ClassVar[str] = "halve"
    rank: int = 1

    def prepare(self, model, data):
        value = model.graph.initializers["mix"]
        value.const_value = ir.Tensor(value.const_value.numpy() / 2, name="mix")
        return PassResult(1, f"halved with {self.rank}, {len(data.samples)} samples")


@dataclass(frozen=True, slots=True)
class Note(Correction):
    """Says what it was given."""

    name: ClassVar[str] = "note"
    rank: int = 2

    def correct(self, model, source, quantized, data):
        assert source.graph.initializers["mix"].const_value.dtype == ir.DataType.FLOAT
        assert "mix" not in model.graph.initializers
        weight, rounded = quantized["mix"]
        assert np.array_equal(weight, source.graph.initializers["mix"].const_value.numpy())
        assert np.abs(weight - rounded.dequantized()).max() < 0.1 * np.abs(weight).max()
        return PassResult(len(quantized), f"{len(quantized)} weights with {self.rank}")


@dataclass(frozen=True, slots=True)
class Together(ModelMethod):
    """Rounds to nearest."""

    name: ClassVar[str] = "together"

    def quantize(self, model, sites, grids, data):
        return {s.name: Rtn().quantize(s.weight_KN(), grids[s.name]) for s in sites}


@pytest.fixture
def parts(monkeypatch):
    monkeypatch.setitem(registry.PREPARATIONS, "halve", Halve)
    monkeypatch.setitem(registry.CORRECTIONS, "note", Note)
    monkeypatch.setitem(registry.MODEL_METHODS, "together", Together)


def recipe(text):
    return read_recipe(parse_spec(text))


@pytest.mark.usefixtures("parts")
@pytest.mark.parametrize("text", ["rtn+halve+note", "note+halve+rtn", "halve+rtn+note"])
def test_parts_stand_in_any_order(text):
    got = recipe(f"int4:{text}")
    assert isinstance(got.method, Rtn)
    assert got.preparations == (Halve(),)
    assert got.corrections == (Note(),)
    assert got.options["method"] == "halve+rtn+note"


@pytest.mark.usefixtures("parts")
def test_an_option_of_two_parts_names_one():
    got = recipe("int4:rtn+halve+note,halve-rank=5,note-rank=7,group=64")
    assert (got.preparations[0].rank, got.corrections[0].rank, got.grid.group) == (5, 7, 64)
    assert got.options["halve-rank"] == "5"
    assert "rank" not in got.options
    assert recipe("int4:rtn+halve,rank=5").preparations[0].rank == 5
    with pytest.raises(InputError, match="rank: 2 parts have it; expected halve-rank or note-rank"):
        recipe("int4:rtn+halve+note,rank=5")


@pytest.mark.usefixtures("parts")
@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("int4:rtn+gptq", "expected one method, got rtn and gptq"),
        ("int4:rtn+together", "expected one method, got rtn and together"),
        ("int4:rtn+rtn", "rtn: given twice"),
        ("int4:rtn+nothing", "nothing: unknown method; expected one of rtn"),
        ("int4:gptq,damping=-1", "damping=-1: expected 0"),
        ("int4:rtn,damping=0.1", "damping: unknown"),
        ("int4:rtn,average-bits=99", "average-bits=99: expected 0"),
    ],
)
def test_wrong_recipes_are_one_line(text, reason):
    with pytest.raises(InputError) as caught:
        recipe(text)
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("parts")
def test_parts_work_in_turn_and_say_what_they_did(tmp_path):
    done = compress(
        loaded(residual_model(), tmp_path), Compression(("int4:together+note+halve,group=16",))
    )
    (detail,) = done.details
    assert detail.record.method == "halve+together+note"
    assert detail.record.notes[:2] == [
        "halve: halved with 1, 16 samples",
        "note: 11 weights with 2",
    ]
    # Half of everything behind the first product, and the error says so.
    assert 0.4 < done.error < 0.8


@pytest.mark.usefixtures("parts")
def test_all_weights_together_or_one_by_one_are_the_same(tmp_path):
    models = []
    for text in ("int4:rtn,group=16", "int4:together,group=16"):
        model = loaded(residual_model(), tmp_path)
        compress(model, Compression((text,)))
        models.append(
            {n: v.const_value.tobytes() for n, v in model.graph_model.graph.initializers.items()}
        )
    assert models[0] == models[1]


@pytest.mark.parametrize("method", ["rtn", "gptq"])
def test_the_same_seed_gives_the_same_bytes(tmp_path, method):
    def weights(seed):
        model = loaded(residual_model(), tmp_path)
        compress(model, Compression((f"int4:{method},group=16",), seed=seed))
        return [v.const_value.tobytes() for v in model.graph_model.graph.initializers.values()]

    assert weights(1) == weights(1)
    assert (weights(1) == weights(2)) == (method == "rtn")


def compiled(tmp_path, *texts):
    onnx.save(residual_model(), tmp_path / "m.onnx")
    out = tmp_path / "out.egrl"
    compile_model(tmp_path / "m.onnx", out=out, compress=texts, placer="native", budget="10ev")
    return out


def test_the_artifact_has_a_table_of_layers(tmp_path, capsys):
    out = compiled(tmp_path, "int4:gptq,group=16")
    (record,) = load_artifact(out).manifest.compression["main"]
    assert [layer.name for layer in record.layers][:3] == ["mix", "up0", "gate0"]
    assert len(record.layers) == 11
    assert all(0 < layer.error < 0.3 for layer in record.layers)
    assert all(0 < layer.output_error < 0.3 for layer in record.layers)
    assert layers_bits(record.layers) == pytest.approx(5.0)
    assert 5.0 <= record.model_bits < 5.5
    assert main(["inspect", str(out)]) == 0
    line = next(x for x in capsys.readouterr().out.splitlines() if x.startswith("compressed"))
    assert "main: gptq, 11 weights at 5.00 bits" in line
    assert "of an output" in line


def test_compile_says_what_became_of_the_weights(tmp_path, capsys):
    def text(proto, *flags):
        onnx.save(proto, tmp_path / "m.onnx")
        asked = [argument for flag in flags for argument in ("--compress", flag)]
        code = main(
            ["compile", str(tmp_path / "m.onnx"), "--target", "nnp-i", "--budget", "50ev",
             "-o", str(tmp_path / "m.egrl"), *asked]
        )  # fmt: skip
        assert code == 0
        return capsys.readouterr()

    said = text(residual_model(), "int4:rtn,group=16")
    assert re.search(r"^compressed: rtn, \d+ weights at 5\.00 bits", said.out, re.MULTILINE)
    assert "warning" not in said.err
    said = text(one_convolution(), "int4:rtn")
    assert "compressed: rtn, 0 weights" in said.out
    assert "warning: --compress rtn: found no weight to compress" in said.err
    assert "compressed" not in text(one_convolution()).out


def test_an_artifact_without_compression_says_nothing_of_it(tmp_path):
    out = compiled(tmp_path)
    assert load_artifact(out).manifest.compression is msgspec.UNSET
    assert "compression" not in msgspec.json.decode((out / MANIFEST_FILE).read_bytes())


def test_a_damaged_table_is_refused(tmp_path):
    out = compiled(tmp_path, "int4:rtn")
    whole = msgspec.json.decode((out / MANIFEST_FILE).read_bytes())
    layers = whole["compression"]["main"][0]["layers"]
    for change, reason in (
        (lambda: layers[0].update(bits="four"), "bits"),
        (lambda: layers[0].update(bits=4, color="red"), "color"),
        (lambda: layers[0].pop("color") and whole["compression"].update(other=[]), "no graph"),
    ):
        change()
        (out / MANIFEST_FILE).write_bytes(msgspec.json.encode(whole))
        with pytest.raises(InputError, match=reason):
            load_artifact(out)


def test_passes_lists_the_methods(capsys):
    assert main(["passes"]) == 0
    out = capsys.readouterr().out
    for name in (*registry.WEIGHT_METHODS, *registry.PREPARATIONS, *registry.CORRECTIONS):
        assert any(line.startswith(f"{name} ") for line in out.splitlines()), name


def test_naming_the_methods_does_not_import_torch():
    script = (
        "import sys; import egrl.compression.registry, egrl.compression.weights\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True, cwd=Path(__file__).parents[2])


@pytest.mark.parametrize("gemm", [False, True])
def test_a_weight_that_is_turned_is_calibrated_as_it_is_used(tmp_path, gemm):
    model = loaded(product_model(64, 32, gemm=gemm), tmp_path)
    x = np.random.default_rng(0).standard_normal((4, 64)).astype(np.float32)
    np.savez(tmp_path / "x.npz", x=x)
    asked = Compression(("int4:gptq",), calibration=tmp_path / "x.npz")
    (layer,) = compress(model, asked).details[0].record.layers
    # Four rows leave 60 directions of 64 free to take the error.
    assert layer.output_error < 0.04 < layer.error


@pytest.mark.parametrize(("inner", "said"), [(48, 0), (80, 1)])
def test_few_rows_are_said(tmp_path, inner, said):
    """16 drawn samples of 4 rows for 80 channels: quantized, and the manifest says from what."""
    done = compress(
        loaded(product_model(inner, 32), tmp_path), Compression(("int4:gptq,group=16",))
    )
    record = done.details[0].record
    assert record.layers[0].rows == 64
    assert len([note for note in record.notes if "fewer rows" in note]) == said


def test_inputs_of_a_layer_that_are_not_finite_are_named(tmp_path):
    source = residual_model()
    mix = source.graph.initializer[0]
    huge = onnx.numpy_helper.to_array(mix) * np.float32(1e30)
    mix.CopyFrom(onnx.numpy_helper.from_array(huge.astype(np.float32), "mix"))
    model = loaded(source, tmp_path).graph_model
    raise_opset(model, 21, "model")
    sites = find_sites(model.graph).found[1:]
    data = Data(({"x": np.full((64, 32), 1e9, np.float32)},), OnnxRuntimeRunner(), 0, True)
    with pytest.raises(InputError, match="inputs of up0: expected finite values"):
        quantize_sites(model, Gptq(), sites, {s.name: Grid(4, 16) for s in sites}, data)
