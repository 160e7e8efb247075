"""Artifacts of small random decoders, compiled once."""

import pytest

from egrl.decoding import compile_decoder
from graph_ir.save import save_model
from tests.decoder.tiny import tiny_decoder
from tests.generation.texts import byte_tokenizer

VOCABULARY, CONTEXT, CHUNK = 257, 64, 8
OPTIONS = {"context": CONTEXT, "chunk": CHUNK, "placer": "greedy", "budget": "1ev"}


@pytest.fixture(scope="session")
def decoder():
    return tiny_decoder(head_width=16, vocabulary=VOCABULARY, most_positions=CONTEXT)


@pytest.fixture(scope="session")
def source(tmp_path_factory, decoder):
    """A model file and a tokenizer beside it."""
    folder = tmp_path_factory.mktemp("source")
    (folder / "tokenizer.json").write_bytes(byte_tokenizer())
    save_model(decoder.model, folder, "tiny", "tiny.weights")
    return folder / "tiny.onnx"


@pytest.fixture(scope="session")
def artifact(tmp_path_factory, source):
    """Everything is kept, as it is."""
    out = tmp_path_factory.mktemp("artifact") / "tiny.egrl"
    compile_decoder(source, out=out, tokenizer=source.with_name("tokenizer.json"), **OPTIONS)
    return out


@pytest.fixture(scope="session")
def small(tmp_path_factory, source):
    """Weights of four bits, caches that drop, no tokenizer."""
    out = tmp_path_factory.mktemp("small") / "tiny.egrl"
    compress = ("int4:rtn,group=16", "streaming,window=8,sinks=2")
    compile_decoder(source, out=out, compress=compress, eos=["7"], **OPTIONS)
    return out
