import dataclasses
from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest

from egrl.compression.compress import Compression
from egrl.compression.runner import OnnxRuntimeRunner
from egrl.decoding import compile_decoder
from egrl.decoding_weights import compress_weights
from graph_ir.errors import InputError
from runtime.generation.generator import open_generator
from runtime.generation.sampling import Sampling
from runtime.load import load_artifact, verify_artifact
from runtime.manifest import FileRecord, manifest_bytes
from tests.generation.conftest import CHUNK, CONTEXT, OPTIONS, VOCABULARY
from tests.generation.texts import byte_tokenizer

PROMPT = [int(token) for token in np.random.default_rng(5).integers(0, 256, 2 * CHUNK + 3)]


def full_forward(decoder, tokens, count):
    """Greedy tokens, each from a run over everything before it."""
    execute = OnnxRuntimeRunner().open(decoder.model, ["logits"])
    tokens = list(tokens)
    for _ in range(count):
        feeds = {"input_ids": np.array([tokens]), "positions": np.arange(len(tokens))}
        tokens.append(int(execute(feeds)["logits"][0, -1].argmax()))
    return tokens


@pytest.fixture(scope="module")
def generator(artifact):
    return open_generator(verify_artifact(artifact))


def test_generated_tokens_are_those_of_the_model_without_caches(generator, decoder):
    sequence = generator.start()
    list(generator.generate(sequence, PROMPT, CONTEXT))
    assert len(sequence.tokens) == CONTEXT + 1
    assert sequence.tokens == full_forward(decoder, PROMPT, CONTEXT + 1 - len(PROMPT))


def test_sequences_in_turns_are_those_alone(generator):
    sampling = Sampling(temperature=1.0, top_p=0.9, seed=1)
    prompts = [PROMPT, PROMPT[:5]]
    alone = [list(generator.generate(generator.start(), p, 12, sampling)) for p in prompts]
    both = [generator.generate(generator.start(), p, 12, sampling) for p in prompts]
    assert [list(turn) for turn in zip(*zip(*both, strict=True), strict=True)] == alone


def test_a_session_in_a_file_goes_on(generator, artifact, small, tmp_path):
    sequence = generator.start()
    given = list(generator.generate(sequence, PROMPT, 6))
    generator.save(sequence, tmp_path / "s")
    again = open_generator(load_artifact(artifact))
    resumed = again.resume(tmp_path / "s")
    given += again.generate(resumed, (), 6)
    assert given == list(generator.generate(generator.start(), PROMPT, 12))
    with pytest.raises(InputError, match="of another artifact"):
        open_generator(load_artifact(small)).resume(tmp_path / "s")


def test_both_graphs_share_weights_and_their_homes(artifact, decoder):
    loaded = load_artifact(artifact)
    homes = {
        graph: {
            tensor.name: (tensor.residences[0].tier, tensor.residences[0].mode)
            for tensor in plan.tensors
            if tensor.kind in ("weight", "state") and tensor.residences
        }
        for graph, plan in loaded.plans.items()
    }
    weights = decoder.model.graph.initializers
    shared = [n for n in homes["decode"] if n in weights or n.startswith("cache.")]
    assert len(shared) > 10
    for name in shared:
        assert homes["decode"][name] == homes["prefill"][name]
    stored = loaded.manifest.files["weights.data"].size_bytes
    once = sum(-(-value.const_value.nbytes // 4096) * 4096 for value in weights.values())
    assert stored <= once + 16 * 4096


def test_the_same_seed_gives_the_same_bytes(artifact, source, tmp_path):
    tokenizer = source.with_name("tokenizer.json")
    compile_decoder(source, out=tmp_path / "b.egrl", tokenizer=tokenizer, **OPTIONS)
    for path in sorted(artifact.iterdir()):
        assert path.read_bytes() == (tmp_path / "b.egrl" / path.name).read_bytes(), path.name


def test_compressed_and_pruned(small):
    artifact = verify_artifact(small)
    manifest = artifact.manifest
    assert [p.name for p in manifest.passes][-2:] == ["int4", "streaming"]
    record = manifest.decoder
    assert (record.kv_method, record.eos) == ("streaming", [7])
    assert record.kv_options["window"] == "8"
    assert record.kv_bytes == 10 / CONTEXT * 2 * record.kv_full_bytes
    generator = open_generator(artifact)
    assert generator.cache_bytes == record.kv_bytes
    sequence = generator.start()
    list(generator.generate(sequence, PROMPT, 10))
    # The integers of both graphs are the same: whatever way a text is read, it goes on alike.
    one = generator.start()
    for token in PROMPT[:3]:
        list(generator.generate(one, [token], 0))
        one.advance()
    many = generator.start()
    many.tokens.extend(PROMPT[:3])
    many.advance()
    for name, state in one.states.items():
        np.testing.assert_allclose(state, many.states[name], rtol=0, atol=0.05)


def test_quantized_weights_do_not_depend_on_the_number_of_rows(decoder):
    smaller, done = compress_weights(decoder, Compression(("int4:rtn,group=16",)), 16)
    assert 0 < done.error < 0.5
    names = [value.name for value in smaller.model.graph.inputs]
    assert names == ["input_ids", "positions"]
    execute = OnnxRuntimeRunner().open(smaller.model, ["logits"])
    ids = np.array([PROMPT[:9]])
    whole = execute({"input_ids": ids, "positions": np.arange(9)})["logits"]
    part = execute({"input_ids": ids[:, :4], "positions": np.arange(4)})["logits"]
    np.testing.assert_allclose(part, whole[:, :4], rtol=0, atol=1e-5)
    assert dataclasses.replace(smaller, model=decoder.model) == decoder


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"context": CONTEXT + 1}, f"context.*{CONTEXT}"),
        ({"context": 1}, "--context 1: expected 2 to"),
        ({"chunk": 1}, "--chunk 1: expected 2 to"),
        ({"chunk": CONTEXT + 1}, f"--chunk {CONTEXT + 1}: expected 2 to {CONTEXT}"),
        ({"compress": ["streaming,window=4"], "chunk": 5}, "--chunk 5: expected 2 to 4"),
        (
            {"compress": ["streaming", "razor"]},
            "one compression of caches, got streaming and razor",
        ),
        ({"compress": ["int4:rtn", "razor", "int8:rtn"]}, "some on both sides"),
        ({"compress": ["auto:rtn"]}, "not for decoders"),
        ({"compress": ["nothing"]}, "nothing: unknown"),
        ({"compress": ["streaming,width=4"]}, "width: unknown"),
        ({"compress": ["streaming:rtn"]}, "streaming"),
        ({"eos": ["<none>"]}, "--eos <none>: expected a token"),
        ({"eos": [str(VOCABULARY)]}, f"--eos {VOCABULARY}: expected a token"),
        ({"kv_form": "fast"}, "--kv-form fast: expected one of"),
        ({"tokenizer": "missing.json"}, "missing.json"),
    ],
)
def test_what_cannot_be_compiled(monkeypatch, decoder, tmp_path, options, message):
    monkeypatch.setattr("egrl.decoding.read_decoder", lambda path, runner: decoder)
    with pytest.raises(InputError, match=message):
        compile_decoder("tiny.onnx", out=tmp_path / "x.egrl", **{**OPTIONS, **options})
    assert not (tmp_path / "x.egrl").exists()


def test_a_tokenizer_with_more_tokens_than_the_model(monkeypatch, decoder, tmp_path):
    monkeypatch.setattr("egrl.decoding.read_decoder", lambda path, runner: decoder)
    path = tmp_path / "tokenizer.json"
    path.write_bytes(byte_tokenizer(("<|endoftext|>", "<more>")))
    with pytest.raises(InputError, match="at most the 257 tokens of the model, got 258"):
        compile_decoder("tiny.onnx", out=tmp_path / "x.egrl", tokenizer=path, **OPTIONS)


def _copied(artifact: Path, out: Path, change) -> Path:
    """An artifact with changed files and right digests."""
    import hashlib

    out.mkdir()
    manifest = load_artifact(artifact).manifest
    files = {path.name: path.read_bytes() for path in artifact.iterdir()}
    del files["manifest.json"]
    manifest = change(files, manifest) or manifest
    records = {n: FileRecord(hashlib.sha256(d).hexdigest(), len(d)) for n, d in files.items()}
    for name, data in files.items():
        (out / name).write_bytes(data)
    manifest = msgspec.structs.replace(manifest, files=records)
    (out / "manifest.json").write_bytes(manifest_bytes(manifest))
    return out


def _bad_tokenizer(files, manifest):
    files["tokenizer.json"] = b"{}"


def _one_state_less(files, manifest):
    model = onnx.load_model_from_string(files["decode.onnx"])
    entry = next(e for e in model.metadata_props if e.key == "egrl.states")
    entry.value = msgspec.json.encode(msgspec.json.decode(entry.value)[1:]).decode()
    files["decode.onnx"] = model.SerializeToString()


def _other_chunk(files, manifest):
    record = msgspec.structs.replace(manifest.decoder, chunk=CHUNK + 1)
    return msgspec.structs.replace(manifest, decoder=record)


def _end_beyond(files, manifest):
    record = msgspec.structs.replace(manifest.decoder, eos=[VOCABULARY])
    return msgspec.structs.replace(manifest, decoder=record)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_bad_tokenizer, "not a tokenizer"),
        (_one_state_less, r"cache\.0\.0\.key"),
        (_other_chunk, "expected graphs of 9 rows"),
        (_end_beyond, "257 is not in the vocabulary"),
    ],
)
def test_damaged_artifacts(artifact, tmp_path, change, message):
    broken = _copied(artifact, tmp_path / "broken.egrl", change)
    with pytest.raises(InputError, match=message):
        open_generator(verify_artifact(broken))
