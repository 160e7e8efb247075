"""Inputs that compression learns from: a person's, made up, drawn; and refusals of a line."""

import numpy as np
import pytest

from egrl.compression.compress import Compression, compress
from egrl.compression.generate import generate_inputs, token_ports
from egrl.compression.inputs import read_calibration
from egrl.compression.runner import OnnxRuntimeRunner
from graph_ir.errors import InputError
from tests.compression.chains import VOCABULARY, language_model, loaded, residual_model


def write(path, **arrays):
    np.savez(path, **arrays)
    return path


def test_folder_is_read_in_order_of_names(tmp_path):
    graph = loaded(residual_model(rows=2), tmp_path).graph_model.graph
    folder = tmp_path / "samples"
    folder.mkdir()
    for number in (2, 0, 1):
        write(folder / f"{number}.npz", x=np.full((2, 32), number, np.float32))
    got = read_calibration(folder, graph, 3)
    assert [int(sample["x"][0, 0]) for sample in got.samples] == [0, 1, 2]
    assert (got.source, got.given, got.seed) == ("samples", True, 3)


@pytest.mark.parametrize(
    ("arrays", "reason"),
    [
        ({"x": np.zeros((3, 32), np.float32)}, r"expected shape \[2, 32\], got \[3, 32\]"),
        ({"z": np.zeros((2, 32), np.float32)}, "'z': unknown"),
        ({}, "missing"),
        ({"x": np.full((2, 32), np.nan, np.float32)}, "'x': expected finite"),
        ({"x": np.zeros((2, 32), np.complex64)}, "with values that the cast would change"),
    ],
)
def test_wrong_samples_are_one_line_with_the_file(tmp_path, arrays, reason):
    graph = loaded(residual_model(rows=2), tmp_path).graph_model.graph
    with pytest.raises(InputError, match=reason) as caught:
        read_calibration(write(tmp_path / "s.npz", **arrays), graph, 0)
    assert "s.npz" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_files_that_are_none(tmp_path):
    graph = loaded(residual_model(rows=2), tmp_path).graph_model.graph
    (tmp_path / "broken.npz").write_bytes(b"PK\x03\x04 nothing")
    (tmp_path / "empty").mkdir()
    for name in ("broken.npz", "absent.npz", "empty"):
        with pytest.raises(InputError, match=name) as caught:
            read_calibration(tmp_path / name, graph, 0)
        assert "\n" not in str(caught.value)


def test_more_than_fits_is_refused(tmp_path, monkeypatch):
    import egrl.compression.inputs as module

    monkeypatch.setattr(module, "MAX_CALIBRATION_BYTES", 1000)
    graph = loaded(residual_model(rows=2), tmp_path).graph_model.graph
    folder = tmp_path / "samples"
    folder.mkdir()
    for number in range(5):
        write(folder / f"{number}.npz", x=np.zeros((2, 32), np.float32))
    with pytest.raises(InputError, match=r"3\.npz.*bytes of arrays"):
        read_calibration(folder, graph, 0)


def test_ports_of_a_language_model(tmp_path):
    ports = token_ports(loaded(language_model(), tmp_path).graph_model.graph)
    assert (ports.tokens, ports.logits, ports.vocabulary) == ("tokens", "logits", VOCABULARY)
    assert token_ports(loaded(residual_model(), tmp_path).graph_model.graph) is None


def test_made_up_tokens_are_likely_under_the_model(tmp_path):
    model = loaded(language_model(48), tmp_path).graph_model
    made_up = generate_inputs(model, OnnxRuntimeRunner(), seed=1)
    assert made_up.source == "generated"
    assert not made_up.given

    def likelihood(tokens):
        (out,) = OnnxRuntimeRunner().run(model, [{"tokens": tokens}], ["logits"])
        logits = out["logits"][0, :-1].astype(np.float64)
        logits -= np.log(np.exp(logits).sum(axis=1, keepdims=True))
        return logits[np.arange(len(logits)), tokens[0, 1:]].mean()

    random = np.random.default_rng(0).integers(0, VOCABULARY, (len(made_up.samples), 1, 48))
    by_chance = np.mean([likelihood(tokens) for tokens in random])
    assert np.mean([likelihood(s["tokens"]) for s in made_up.samples]) > by_chance + 0.75
    again = generate_inputs(model, OnnxRuntimeRunner(), seed=1)
    other = generate_inputs(model, OnnxRuntimeRunner(), seed=2)
    assert np.array_equal(made_up.samples[0]["tokens"], again.samples[0]["tokens"])
    assert not np.array_equal(made_up.samples[0]["tokens"], other.samples[0]["tokens"])
    assert not np.array_equal(made_up.samples[0]["tokens"], made_up.samples[1]["tokens"])


def test_a_model_that_sees_later_tokens_makes_nothing_up(tmp_path):
    model = loaded(language_model(causal=False), tmp_path).graph_model
    assert generate_inputs(model, OnnxRuntimeRunner(), seed=0) is None


@pytest.mark.parametrize(
    ("source", "text", "expected"),
    [
        (language_model, "int4:gptq,group=16", ("generated", 16)),
        (language_model, "int4:rtn,group=16", ("drawn", 4)),
        (residual_model, "int4:gptq,group=16", ("drawn", 16)),
        (residual_model, "int4:rtn,average-bits=5", ("drawn", 16)),
    ],
)
def test_the_manifest_says_what_was_learned_from(tmp_path, source, text, expected):
    done = compress(loaded(source(), tmp_path), Compression((text,), seed=7))
    options = done.records[0].options
    assert (options["calibration"], options["samples"]) == expected
    assert options["seed"] == 7


def test_a_person_s_samples_are_used(tmp_path):
    rng = np.random.default_rng(0)
    file = write(tmp_path / "own.npz", x=rng.standard_normal((64, 32)).astype(np.float32))
    model = loaded(residual_model(), tmp_path)
    done = compress(model, Compression(("int4:gptq,group=16",), calibration=file))
    assert done.records[0].options["calibration"] == "own.npz"
    assert done.records[0].options["samples"] == 1
