"""Prefill and decode of the Llama builder against plain numpy on the published weight layout."""

import numpy as np
import onnx
import onnxruntime
import pytest
from model_set import smollm2, smollm2_weights
from model_set.cache import Cache
from model_set.gguf_file import GgufFile

from tests.models import tiny_gguf

IDS = [3, 11, 7, 42, 0, 19, 11, 5]
CONTEXT = 12


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Folder with both graphs of a tiny random model, and its weights."""
    folder = tmp_path_factory.mktemp("llama")
    weights = tiny_gguf.llama_weights()
    tiny_gguf.write_llama(folder / "tiny.gguf", weights)
    file = GgufFile(folder / "tiny.gguf")
    slots = smollm2_weights.layout(file)
    smollm2_weights.write_weights(Cache(folder), file, slots)
    sizes = smollm2_weights.dimensions(file)
    smollm2.prefill(sizes, slots).save(folder / "prefill.onnx")
    smollm2.decode(sizes, slots).save(folder / "decode.onnx")
    return folder, weights


def session(path):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options)


def outputs(running, feeds):
    names = [output.name for output in running.get_outputs()]
    return dict(zip(names, running.run(None, feeds), strict=True))


def test_prefill_equals_numpy(built):
    folder, weights = built
    expected = tiny_gguf.llama_logits(weights, IDS)
    got = outputs(session(folder / "prefill.onnx"), {"input_ids": np.array([IDS])})["logits"][0]
    assert np.abs(got - expected).max() < 1e-4 * np.ptp(expected)


def test_decode_continues_prefill_whatever_the_later_slots_hold(built):
    folder, weights = built
    expected = tiny_gguf.llama_logits(weights, IDS)
    prompt = 5
    feeds = {"input_ids": np.array([IDS[:prompt]])}
    state = outputs(session(folder / "prefill.onnx"), feeds)
    running = session(folder / "decode.onnx")
    caches = {}
    for name, array in state.items():
        if name != "logits":
            cache = np.full((1, tiny_gguf.KV_HEADS, CONTEXT, tiny_gguf.HEAD), 1e3, np.float32)
            cache[:, :, :prompt] = array
            caches[name.replace("present", "past_key_values")] = cache
    for position in range(prompt, len(IDS)):
        step = {"input_ids": np.array([[IDS[position]]]), "position_ids": np.array([[position]])}
        result = outputs(running, step | caches)
        difference = np.abs(result.pop("logits")[0, 0] - expected[position]).max()
        assert difference < 1e-4 * np.ptp(expected)
        for name, array in result.items():
            past = caches[name.replace("present", "past_key_values")]
            changed = np.abs(array - past).max(axis=(0, 1, 3)) > 0
            assert np.flatnonzero(changed).tolist() == [position]
        caches = {n.replace("present", "past_key_values"): array for n, array in result.items()}


@pytest.mark.parametrize("name", ["prefill", "decode"])
def test_graphs_pass_the_checker(built, name):
    onnx.checker.check_model(built[0] / f"{name}.onnx", full_check=True)


def test_graphs_share_one_data_file_and_store_the_tied_head_once(built):
    places = []
    for name in ("prefill", "decode"):
        graph = onnx.load(built[0] / f"{name}.onnx", load_external_data=False).graph
        external = [tensor for tensor in graph.initializer if tensor.external_data]
        places.append(
            {t.name: {e.key: e.value for e in t.external_data} | {"n": t.name} for t in external}
        )
        assert len({tensor.name for tensor in external}) == len(external)
        readers = [node.op_type for node in graph.node if "token_embd.weight" in node.input]
        assert readers == ["Gather", "Gemm"]
    assert places[0] == places[1]
    assert len(places[0]) == len(tiny_gguf.llama_weights())


def test_weights_are_written_once_and_start_at_pages(built):
    folder, _ = built
    file = GgufFile(folder / "tiny.gguf")
    slots = smollm2_weights.layout(file)
    assert all(slot.offset % 4096 == 0 for slot in slots.values())
    target = folder / smollm2_weights.LOCATION
    before = target.stat().st_mtime_ns
    assert smollm2_weights.write_weights(Cache(folder), file, slots) == target
    assert target.stat().st_mtime_ns == before
