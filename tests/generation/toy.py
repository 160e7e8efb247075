"""The smallest decoder with a state: logits from a weighed sum of its tokens; its numpy twin.

The state is [1, 1, 1, width]; a step of many rows leaves the same state as its tokens one by one.
"""

import json

import numpy as np
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

from runtime.generation.generator import Generator
from runtime.generation.record import DecoderRecord
from runtime.generation.states import STATES_KEY
from runtime.generation.step import step_graph_of

VOCABULARY, WIDTH, CHUNK, CONTEXT, EOS = 24, 8, 4, 32, 23
DIGEST = "ab" * 32


def weights():
    rng = np.random.default_rng(3)
    return (
        rng.standard_normal((VOCABULARY, WIDTH)).astype(np.float32),
        rng.standard_normal((WIDTH, VOCABULARY)).astype(np.float32),
    )


def toy_proto(rows):
    """next = past + sum of cos(position) * embedding over the valid rows; logits = tanh(next) W."""
    table, head = weights()
    node = helper.make_node
    nodes = [
        node("Gather", ["table", "input_ids"], ["rows_1SD"]),
        node("Add", ["past_length", "range"], ["positions"]),
        node("Cast", ["positions"], ["positions_f"], to=TensorProto.FLOAT),
        node("Cos", ["positions_f"], ["factor"]),
        node("Less", ["range", "count" if rows > 1 else "one"], ["valid"]),
        node("Where", ["valid", "factor", "zero"], ["kept"]),
        node("Unsqueeze", ["kept", "axes"], ["kept_1S1"]),
        node("Mul", ["rows_1SD", "kept_1S1"], ["weighed"]),
        node("ReduceSum", ["weighed", "axis_1"], ["added_11D"], keepdims=1),
        node("Unsqueeze", ["added_11D", "axis_1"], ["added"]),
        node("Add", ["cache.0.0.key", "added"], ["next.0.0.key"]),
        node("Tanh", ["next.0.0.key"], ["squashed"]),
        node("Squeeze", ["squashed", "axis_1"], ["squashed_11D"]),
        node("MatMul", ["squashed_11D", "head"], ["logits"]),
    ]
    info = helper.make_tensor_value_info
    inputs = [info("input_ids", TensorProto.INT64, [1, rows])]
    inputs.append(info("past_length", TensorProto.INT64, [1]))
    if rows > 1:
        inputs.append(info("count", TensorProto.INT64, [1]))
    state = [1, 1, 1, WIDTH]
    inputs.append(info("cache.0.0.key", TensorProto.FLOAT, state))
    outputs = [info("logits", TensorProto.FLOAT, [1, 1, VOCABULARY])]
    outputs.append(info("next.0.0.key", TensorProto.FLOAT, state))
    constants = {
        "table": table,
        "head": head,
        "range": np.arange(rows),
        "one": np.array([1]),
        "zero": np.float32(0),
        "axes": np.array([0, 2]),
        "axis_1": np.array([1]),
    }
    held = [numpy_helper.from_array(np.asarray(a), n) for n, a in constants.items()]
    graph = helper.make_graph(nodes, "toy", inputs, outputs, held)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    entry = model.metadata_props.add()
    entry.key, entry.value = STATES_KEY, json.dumps([["cache.0.0.key", "next.0.0.key"]])
    return model


def toy_step(rows, change=None):
    proto = toy_proto(rows)
    if change is not None:
        change(proto)
    session = ort.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    return step_graph_of(session, "toy")


def toy_record(**changes):
    fields = {
        "context": CONTEXT, "chunk": CHUNK, "vocabulary": VOCABULARY, "eos": [EOS],
        "kv_method": "full", "kv_options": {}, "kv_form": "standard", "kv_bytes": 4 * WIDTH,
        "kv_full_bytes": 4 * WIDTH,
    }  # fmt: skip
    return DecoderRecord(**{**fields, **changes})


def toy_generator(tokenizer=None, digest=DIGEST, **changes):
    return Generator(toy_step(CHUNK), toy_step(1), toy_record(**changes), tokenizer, digest)


def toy_logits(tokens):
    """Float64 logits of the token after these."""
    table, head = (array.astype(np.float64) for array in weights())
    factor = np.cos(np.arange(len(tokens), dtype=np.float32)).astype(np.float64)
    return np.tanh((factor[:, None] * table[list(tokens)]).sum(axis=0)) @ head


def toy_greedy(tokens, count):
    """The next tokens, each from all before it."""
    tokens = list(tokens)
    for _ in range(count):
        tokens.append(int(toy_logits(tokens).argmax()))
        if tokens[-1] == EOS:
            break
    return tokens
