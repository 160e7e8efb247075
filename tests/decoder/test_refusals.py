"""What is no decoder, or none that is understood: one line that names the place and the reason."""

import numpy as np
import onnx
import pytest
from onnx import helper

from egrl.compression.runner import OnnxRuntimeRunner
from graph_ir.decoder.read import read_decoder
from graph_ir.errors import InputError
from tests.decoder.building import INT64, Builder
from tests.decoder.families import LAYERS, VOCABULARY, WIDTH, Source, gpt2, qwen2
from tests.decoder.op_families import group_query


def refusal(source, tmp_path):
    """The line that a source is refused with."""
    path = tmp_path / "source.onnx"
    onnx.save(source if isinstance(source, onnx.ModelProto) else source.model(), path)
    with pytest.raises(InputError) as caught:
        read_decoder(path, OnnxRuntimeRunner())
    line = str(caught.value)
    assert line.startswith(str(path))
    assert "\n" not in line
    return line


def node_that_makes(model, output):
    return next(node for node in model.graph.node if output in node.output)


def test_a_cache_output_without_its_input(tmp_path):
    model = qwen2().model()
    name = "past_key_values.1.key"
    inputs = [value for value in model.graph.input if value.name != name]
    del model.graph.input[:]
    model.graph.input.extend(inputs)
    node = node_that_makes(model, "present.1.key")
    new = node.input[1]
    node.CopyFrom(helper.make_node("Identity", [new], ["present.1.key"], node.name))
    line = refusal(model, tmp_path)
    assert "cache output 'present.1.key' has no input that it continues" in line


def test_a_cache_input_without_its_output(tmp_path):
    model = qwen2().model()
    outputs = [value for value in model.graph.output if value.name != "present.0.value"]
    del model.graph.output[:]
    model.graph.output.extend(outputs)
    line = refusal(model, tmp_path)
    assert "cache input 'past_key_values.0.value' has no output that continues it" in line


def test_a_cache_that_layers_share(tmp_path):
    model = qwen2().model()
    node = node_that_makes(model, "present.1.key")
    node.input[0] = "past_key_values.0.key"
    line = refusal(model, tmp_path)
    assert "cache 'past_key_values.0.key' is shared by" in line


def test_layers_that_read_the_cache_of_another(tmp_path):
    model = qwen2().model()
    first, second = (f"present.{layer}.key" for layer in (0, 1))
    for node in model.graph.node:
        for at, name in enumerate(node.input):
            if name == second:
                node.input[at] = first
    assert "is shared by" in refusal(model, tmp_path)


def test_heads_that_do_not_divide(tmp_path):
    model = group_query().model()
    for node in model.graph.node:
        for attribute in node.attribute:
            if attribute.name == "kv_num_heads":
                attribute.i = 3
    assert "4 query heads cannot share 3 KV heads" in refusal(model, tmp_path)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        ("later", "to see positions up to itself, it sees up to"),
        ("gap", "does not see some positions in between"),
        ("square", "expected 2, or less where a soft cap bends it"),
        ("per-head", "its heads scale the products of queries and keys differently"),
        ("bias", "an unknown form of attention"),
        ("rectified", "an unknown form of attention"),
    ],
)
def test_attentions_of_unknown_forms(damage, reason, tmp_path):
    model = Damaged(damage).source.model()
    line = refusal(model, tmp_path)
    assert reason in line
    assert "MatMul" in line  # the node is named


class Damaged:
    """Multi-head attention with a part that no `CausalAttention` has."""

    def __init__(self, damage):
        g = Source(18)
        self.source, self.damage = g, damage
        g.input("position_ids", ["batch", "seq"], INT64)
        g.caches()
        past, total = self.lengths()
        rows = g.op("Range", past, total, g.scalar(1))
        if damage == "later":
            rows = g.op("Add", rows, g.scalar(1))
        mask = g.causal_mask(rows, total, padding=False)
        if damage == "gap":
            columns = g.op("Range", g.scalar(0), total, g.scalar(1))
            third = g.op("Equal", columns, g.scalar(3))
            mask = g.op("Where", third, g.real(-3e38), mask)
        angles = g.rope("position_ids")
        x = g.embed()
        for layer in range(LAYERS):
            query, key, value = (g.split_heads(g.linear(x, WIDTH, WIDTH), 4) for _ in range(3))
            query, key = g.rotate(query, angles), g.rotate(key, angles)
            key, value = g.append(key, layer, "key"), g.append(value, layer, "value")
            scores = g.op("MatMul", query, g.op("Transpose", key, perm=[0, 1, 3, 2]))
            weights = g.op("Softmax", g.op("Add", self.bent(scores, total), mask), axis=-1)
            mixed = g.merge_heads(g.op("MatMul", weights, value))
            x = g.op("Add", x, g.linear(mixed, WIDTH, WIDTH))
        g.finish(x)

    def lengths(self):
        g = self.source
        past = g.dim("past_key_values.0.key", 2)
        return past, g.op("Add", past, g.dim("input_ids", 1))

    def bent(self, scores, total):
        g = self.source
        scores = g.op("Mul", scores, g.real(0.35))
        if self.damage == "square":
            return g.op("Mul", scores, g.op("Add", scores, g.real(1.0)))
        if self.damage == "per-head":
            factors = np.array([1.0, 1.1, 0.9, 1.0], np.float32).reshape(1, 4, 1, 1)
            return g.op("Mul", scores, g.const(factors))
        if self.damage == "bias":  # ALiBi that is not linear in the distance
            columns = g.op("Cast", g.op("Range", g.scalar(0), total, g.scalar(1)), to=1)
            return g.op("Add", scores, g.op("Sqrt", columns))
        if self.damage == "rectified":
            return g.op("Max", scores, g.real(0.0))
        return scores


def test_an_operator_that_is_not_understood(tmp_path):
    model = group_query(packed=False, rotary=False).model()
    for node in model.graph.node:
        if node.op_type == "GroupQueryAttention":
            node.op_type = "SparseAttention"
    line = refusal(model, tmp_path)
    assert "it leaves out blocks of positions" in line
    assert "SparseAttention" in line


def test_a_model_without_attention(tmp_path):
    g = Builder()
    g.input("input_ids", ["batch", "seq"], INT64)
    table = g.const(np.ones((VOCABULARY, 8), np.float32), "table")
    g.op("Gather", table, "input_ids", axis=0, out="logits")
    g.output("logits", ["batch", "seq", 8])
    assert "expected attentions" in refusal(g, tmp_path)


def test_a_model_without_tokens(tmp_path):
    g = Builder()
    g.input("image", ["batch", 3, 8, 8])
    g.op("Relu", "image", out="logits")
    g.output("logits", ["batch", 3, 8, 8])
    assert "expected one input of tokens" in refusal(g, tmp_path)


def test_an_input_that_means_nothing(tmp_path):
    g = qwen2()
    g.input("temperature_index", ["batch"], INT64)
    assert "input 'temperature_index'" in refusal(g, tmp_path)


def test_a_state_that_no_attention_reads(tmp_path):
    g = qwen2()
    g.input("conv_state", [1, 4, 4])
    g.op("Relu", "conv_state", out="conv_state_out")
    g.output("conv_state_out", [1, 4, 4])
    line = refusal(g, tmp_path)
    assert "conv_state" in line


def test_logits_of_the_last_token_only(tmp_path):
    g = qwen2()
    node = next(node for node in g.nodes if "logits" in node.output)
    node.output[0] = "all_logits"
    ends = (g.ints(-1), g.ints(np.iinfo(np.int64).max), g.ints(1))
    g.op("Slice", "all_logits", *ends, out="logits")
    assert "expected logits of all 5 tokens" in refusal(g, tmp_path)


def test_something_else_that_depends_on_the_cache(tmp_path):
    g = gpt2()
    node = next(node for node in g.nodes if "logits" in node.output)
    node.output[0] = "raw"
    length = g.op("Cast", g.dim("past_key_values.0.key", 2), to=1)
    g.op("Add", "raw", length, out="logits")
    line = refusal(g, tmp_path)
    assert "reads the input 'past_key_values.0.key' for something other than" in line
