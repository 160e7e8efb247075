"""Graphs of a decoder's artifact are read back as they were written, and simulated."""

import onnx
import pytest
from onnx import helper

from egrl.decoding import compile_decoder
from egrl.simulation import simulate_sources
from graph_ir.errors import InputError
from graph_ir.kv.layout import HeadGroup, KvLayout
from graph_ir.kv.step import step_graph
from graph_ir.load_step import load_step
from graph_ir.lower import lower
from graph_ir.passes.pipeline import run_lossless
from graph_ir.save import save_model, save_models
from tests.decoder.tiny import tiny_decoder

CONTEXT = 64


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("steps")
    layout = KvLayout(CONTEXT, ((HeadGroup((0,)), HeadGroup((1,), 8, 2, True)),) * 2)
    models = {}
    for name, rows in (("decode", 1), ("prefill", 8)):
        models[name] = step_graph(tiny_decoder(), layout, rows, "onnxruntime")
        run_lossless(models[name])
    save_models(models, folder)
    return folder, models


@pytest.mark.parametrize("name", ["decode", "prefill"])
def test_the_workload_read_back_is_the_one_written(folder, name):
    where, models = folder
    again = load_step(where / f"{name}.onnx")
    for context in (None, 20):
        written = lower(models[name], name, context=context).workload
        assert lower(again, name, context=context).workload == written


def damaged(folder, change):
    where, _ = folder
    proto = onnx.load(where / "decode.onnx", load_external_data=False)
    change(proto)
    path = where / "damaged.onnx"
    onnx.save(proto, path)
    return path


def _no_shapes(proto):
    del proto.graph.value_info[:]


def _negative(proto):
    for value in proto.graph.value_info:
        for dim in value.type.tensor_type.shape.dim:
            dim.dim_value = -4


def _other_domain(proto):
    body = helper.make_node("Relu", ["x"], ["y"])
    proto.functions.append(
        helper.make_function("other", "F", ["x"], ["y"], [body], [helper.make_opsetid("", 17)])
    )
    proto.opset_import.append(helper.make_opsetid("other", 1))
    proto.graph.node[0].domain, proto.graph.node[0].op_type = "other", "F"


@pytest.mark.parametrize("change", [_no_shapes, _negative, _other_domain])
def test_a_file_that_is_not_ours_is_one_line(folder, change):
    path = damaged(folder, change)
    with pytest.raises(InputError) as error:
        load_step(path)
    assert "\n" not in str(error.value)
    assert str(path) in str(error.value)


def test_an_artifact_is_simulated_as_planned_and_placed_again(tmp_path):
    save_model(tiny_decoder(most_positions=CONTEXT).model, tmp_path, "tiny", "tiny.weights")
    onnx_file = tmp_path / "tiny.onnx"
    out = tmp_path / "tiny.egrl"
    compile_decoder(
        onnx_file, out=out, context=CONTEXT, compress=("streaming,window=16,sinks=2",),
        placer="acts-first", budget="40ev",
    )  # fmt: skip
    prefill, decode = simulate_sources([out])
    assert prefill.report.caches is None
    assert decode.report.caches.context == CONTEXT
    assert decode.report.caches.contexts[-1].latency_s == pytest.approx(decode.report.latency_s)
    again = simulate_sources([out], placers=("native",), budget="40ev")
    assert [case.report.placer for case in again] == ["acts-first", "native"] * 2
    assert again[3].report.caches.cache_bytes == decode.report.caches.cache_bytes
    other = simulate_sources([out], target="hexagon-vtcm-8m", budget="40ev")
    assert [case.report.target for case in other] == ["hexagon-vtcm-8m"] * 2
    assert other[1].report.caches.contexts[0].context == 4
