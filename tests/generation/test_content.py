"""Generation with every further method that chooses by content, from file to text."""

import numpy as np
import pytest

from egrl.cli.main import main
from egrl.decoding import compile_decoder
from graph_ir.errors import InputError
from graph_ir.save import save_model
from runtime.generation.generator import open_generator
from runtime.load import load_artifact, verify_artifact
from tests.decoder.tiny import alibi_slopes, tiny_decoder

CONTEXT, KEEP, GROWTH = 96, 40, 20
PROMPT = np.random.default_rng(0).integers(0, 64, 60).tolist()
CHOSEN = f"keep={KEEP},growth={GROWTH}"
SPECS = {
    "adakv": f"adakv,{CHOSEN}",
    "expected": f"expected-attention,{CHOSEN}",
    "even": f"expected-attention,{CHOSEN},per-head=false",
    "scissors": "scissorhands,buffer=40,recent=4",
}

# What has a form of its own in the graph.
PORTABLE = ("adakv", "scissors")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("content")
    decoder = tiny_decoder(head_width=16, vocabulary=64, most_positions=CONTEXT)
    save_model(decoder.model, folder, "tiny", "tiny.weights")
    for name, spec in {"full": "", **SPECS}.items():
        for form in ("onnxruntime", "standard") if name in PORTABLE else ("onnxruntime",):
            compile_decoder(
                folder / "tiny.onnx",
                out=folder / f"{name}-{form}",
                context=CONTEXT,
                chunk=8,
                placer="greedy",
                budget="1ev",
                kv_form=form,
                compress=(spec,) if spec else (),
            )
    return folder


def opened(folder, name, form="onnxruntime"):
    return open_generator(verify_artifact(folder / f"{name}-{form}"))


def generated(generator, prompt, count):
    sequence = generator.start()
    return list(generator.generate(sequence, prompt, count)), sequence


@pytest.mark.parametrize("name", SPECS)
def test_both_forms_write_the_same_and_short_texts_are_the_full_caches(folder, name):
    generator = opened(folder, name)
    found = generated(generator, PROMPT, 20)[0]
    if name in PORTABLE:
        assert found == generated(opened(folder, name, "standard"), PROMPT, 20)[0]
    full = opened(folder, "full")
    assert found != generated(full, PROMPT, 20)[0]
    for length in (1, 9, 20):
        assert (
            generated(generator, PROMPT[:length], 15)[0]
            == (generated(full, PROMPT[:length], 15)[0])
        )


@pytest.mark.parametrize("name", SPECS)
@pytest.mark.parametrize("length", [9, 60])
def test_a_session_in_a_file_goes_on(folder, name, length, tmp_path):
    generator = opened(folder, name)
    sequence = generator.start()
    given = list(generator.generate(sequence, PROMPT[:length], 5))
    generator.save(sequence, tmp_path / "s")
    again = open_generator(load_artifact(folder / f"{name}-onnxruntime"))
    given += list(again.generate(again.resume(tmp_path / "s"), (), 6))
    assert given == generated(generator, PROMPT[:length], 11)[0]
    with pytest.raises(InputError, match="another artifact"):
        opened(folder, "full").resume(tmp_path / "s")


@pytest.mark.parametrize("name", SPECS)
def test_commands_know_them(folder, name, capsys):
    out = str(folder / f"{name}-onnxruntime")
    for command in ("inspect", "verify"):
        assert main([command, out]) == 0
    assert main(["simulate", out, "--placer", "greedy", "--budget", "1ev"]) == 0
    tokens = ",".join(map(str, PROMPT))
    assert main(["generate", out, "--tokens", tokens, "--max-tokens", "3"]) == 0
    assert len(capsys.readouterr().out.strip().splitlines()[-1].split(",")) == 3


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("adakv", {"windows": (9, 0)}),
        ("expected", {"slopes": alibi_slopes(4), "rope": False}),
        ("scissors", {"sinks": True}),
    ],
)
def test_models_that_they_cannot_serve_are_refused(tmp_path, name, options):
    save_model(tiny_decoder(**options).model, tmp_path, "other", "other.weights")
    method = SPECS[name].partition(",")[0]
    with pytest.raises(InputError, match=f"{method}: attention 0: expected no sliding window"):
        compile_decoder(
            tmp_path / "other.onnx", out=tmp_path / "o", context=64, compress=(SPECS[name],)
        )
