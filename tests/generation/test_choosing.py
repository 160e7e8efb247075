"""Generation with positions that are chosen once the prompt has been read."""

import dataclasses

import msgspec
import numpy as np
import pytest

from egrl.cli.main import main
from egrl.decoding import compile_decoder
from graph_ir.errors import InputError
from graph_ir.save import save_model
from runtime.generation.generator import open_generator
from runtime.generation.record import DECODE, PREFILL, SELECT
from runtime.generation.verify import check_decoder
from runtime.load import load_artifact, verify_artifact
from runtime.npz import read_inputs, write_outputs
from tests.decoder.tiny import tiny_decoder

CONTEXT, KEEP, GROWTH = 96, 40, 20
PROMPT = np.random.default_rng(0).integers(0, 64, 60).tolist()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("choosing")
    decoder = tiny_decoder(head_width=16, vocabulary=64, most_positions=CONTEXT)
    save_model(decoder.model, folder, "tiny", "tiny.weights")
    snap = f"snapkv,keep={KEEP},growth={GROWTH}"
    for name, form, texts in (
        ("full", "onnxruntime", ()),
        ("chosen", "onnxruntime", (snap,)),
        ("portable", "standard", (snap,)),
        ("small", "onnxruntime", ("int4:rtn,group=16", f"{snap},bits=4")),
    ):
        compile_decoder(
            folder / "tiny.onnx",
            out=folder / name,
            context=CONTEXT,
            chunk=8,
            placer="greedy",
            budget="1ev",
            kv_form=form,
            compress=texts,
        )
    return folder


@pytest.fixture(scope="module")
def generators(folder):
    names = ("full", "chosen", "portable", "small")
    return {name: open_generator(verify_artifact(folder / name)) for name in names}


def generated(generator, prompt, count):
    sequence = generator.start()
    return list(generator.generate(sequence, prompt, count)), sequence


def test_the_artifact_has_three_graphs_with_plans(folder):
    artifact = verify_artifact(folder / "chosen")
    assert artifact.manifest.graphs == [PREFILL, SELECT, DECODE]
    assert list(artifact.plans) == [PREFILL, SELECT, DECODE]
    record = artifact.manifest.decoder
    assert (record.kv_method, record.kv_keep, record.kv_growth) == ("snapkv", KEEP, GROWTH)
    assert record.kv_bytes == 2 * 2 * 2 * (KEEP + GROWTH) * 16 * 4


@pytest.mark.parametrize("name", ["chosen", "portable"])
@pytest.mark.parametrize("length", [1, 9, KEEP])
def test_a_prompt_that_is_kept_whole_goes_on_as_with_the_full_cache(generators, name, length):
    prompt = PROMPT[:length]
    found, sequence = generated(generators[name], prompt, 20)
    assert sequence.dropped == 0
    assert found == generated(generators["full"], prompt, 20)[0]


def test_both_forms_choose_alike_and_not_everything(generators):
    chosen, sequence = generated(generators["chosen"], PROMPT, 20)
    assert sequence.dropped == len(PROMPT) - KEEP
    assert chosen == generated(generators["portable"], PROMPT, 20)[0]
    assert chosen != generated(generators["full"], PROMPT, 20)[0]
    assert len(generated(generators["small"], PROMPT, 20)[0]) == 20


@pytest.mark.parametrize(("length", "most"), [(9, KEEP + GROWTH), (60, 60 + GROWTH), (90, 96)])
def test_it_ends_where_there_is_no_more_room(generators, length, most):
    prompt = (PROMPT * 2)[:length]
    generator = generators["chosen"]
    found, sequence = generated(generator, prompt, 90)
    assert len(sequence.tokens) == len(prompt) + len(found) == most + 1
    assert sequence.finish == "context"
    with pytest.raises(InputError, match=f"at most the {most} positions"):
        generator.generate(sequence, PROMPT[:3])


def test_a_second_prompt_is_fed_token_by_token(generators):
    generator = generators["chosen"]
    sequence = generator.start()
    first = list(generator.generate(sequence, PROMPT, 4))
    second = list(generator.generate(sequence, PROMPT[:5], 3))
    assert sequence.fed == len(PROMPT) + 4 + 5 + 2
    assert sequence.dropped == len(PROMPT) - KEEP
    _, other = generated(generator, PROMPT, 4)
    assert other.tokens == [*PROMPT, *first]
    assert list(generator.generate(other, PROMPT[:2], 0)) == []
    assert list(generator.generate(other, PROMPT[2:5], 3)) == second


def test_sequences_in_turns_are_those_alone(generators):
    generator = generators["chosen"]
    prompts = (PROMPT, PROMPT[:50])
    alone = [generated(generator, prompt, 8)[0] for prompt in prompts]
    turns = [generator.generate(generator.start(), prompt, 8) for prompt in prompts]
    assert [list(turn) for turn in zip(*zip(*turns, strict=True), strict=True)] == alone


@pytest.mark.parametrize("name", ["chosen", "small"])
@pytest.mark.parametrize("length", [0, 9, 60])
def test_a_session_in_a_file_goes_on(folder, generators, name, length, tmp_path):
    generator, prompt = generators[name], PROMPT[:length]
    sequence = generator.start()
    given = list(generator.generate(sequence, prompt, 5)) if length else []
    generator.save(sequence, tmp_path / "s")
    again = open_generator(load_artifact(folder / name))
    resumed = again.resume(tmp_path / "s")
    assert resumed.dropped == max(0, length - KEEP)
    given += list(again.generate(resumed, () if length else PROMPT, 6))
    assert given == generated(generator, prompt or PROMPT, 11 if length else 6)[0]


@pytest.mark.parametrize("dropped", [-1, 21, 40, 1 << 40])
def test_a_damaged_session(generators, dropped, tmp_path):
    generator = generators["chosen"]
    _, sequence = generated(generator, PROMPT, 1)
    generator.save(sequence, tmp_path / "s")
    arrays = read_inputs(tmp_path / "s")
    assert arrays["dropped"].tolist() == [20]
    write_outputs(tmp_path / "s", {**arrays, "dropped": np.array([dropped])})
    with pytest.raises(InputError, match="damaged"):
        generator.resume(tmp_path / "s")


def test_an_interrupted_prompt_is_not_saved(generators, tmp_path):
    generator = generators["chosen"]
    sequence = generator.start()
    sequence.tokens.extend(PROMPT)
    tokens, step = sequence._next()
    step.run(tokens, 0)
    sequence.fed = len(tokens)
    with pytest.raises(InputError, match="interrupted"):
        generator.save(sequence, tmp_path / "s")


def test_graphs_that_do_not_belong_together(folder, generators):
    record = generators["chosen"].record
    check_decoder(folder / "chosen", record, False)
    with pytest.raises(InputError, match="expected the same in prefill and decode"):
        check_decoder(folder / "chosen", msgspec.structs.replace(record, kv_keep=0), False)
    artifact = load_artifact(folder / "chosen")
    for changes in ({"kv_keep": 0, "kv_growth": 0}, {"kv_keep": KEEP + 1}):
        changed = msgspec.structs.replace(record, **changes)
        manifest = msgspec.structs.replace(artifact.manifest, decoder=changed)
        with pytest.raises(InputError, match="decoder: expected"):
            open_generator(dataclasses.replace(artifact, manifest=manifest))


def test_commands_know_the_third_graph(folder, capsys):
    out = str(folder / "chosen")
    assert main(["inspect", out]) == 0
    assert "a prompt is kept whole while it is read" in capsys.readouterr().out
    assert main(["verify", out]) == 0
    assert "(prefill, select, decode)" in capsys.readouterr().out
    assert main(["simulate", out, "--placer", "greedy", "--budget", "1ev"]) == 0
    assert "chosen:select" in capsys.readouterr().out
    tokens = ",".join(map(str, PROMPT))
    assert main(["generate", out, "--tokens", tokens, "--max-tokens", "3"]) == 0
    assert len(capsys.readouterr().out.strip().split(",")) == 3


def test_models_that_it_cannot_serve_are_refused(tmp_path):
    save_model(tiny_decoder(windows=(9, 0)).model, tmp_path, "sliding", "sliding.weights")
    with pytest.raises(InputError, match="snapkv: attention 0: expected no sliding window"):
        compile_decoder(
            tmp_path / "sliding.onnx", out=tmp_path / "o", context=64, compress=("snapkv",)
        )
