"""Small networks of several matrix products, for tests of methods that look at inputs."""

import numpy as np
import onnx
from onnx import TensorProto, helper
from onnx.numpy_helper import from_array

WIDTH, HIDDEN, VOCABULARY = 32, 64, 40


def residual_model(layers: int = 3, rows: int = 64, seed: int = 0) -> onnx.ModelProto:
    """`x <- x + (sigmoid(x A) * x B) C`, as often as there are layers, then a head.

    Inputs are strongly correlated, as those of real layers are.
    """
    rng = np.random.default_rng(seed)
    mixing = rng.standard_normal((WIDTH, WIDTH)) * 0.7 ** np.arange(WIDTH)[:, None]
    weights = {"mix": mixing, "head": rng.standard_normal((WIDTH, HIDDEN))}
    nodes = [helper.make_node("MatMul", ["x", "mix"], ["h0"], "mix")]
    for i in range(layers):
        weights[f"up{i}"] = rng.standard_normal((WIDTH, HIDDEN)) / np.sqrt(WIDTH)
        weights[f"gate{i}"] = rng.standard_normal((WIDTH, HIDDEN)) / np.sqrt(WIDTH)
        weights[f"down{i}"] = rng.standard_normal((HIDDEN, WIDTH)) / np.sqrt(HIDDEN)
        nodes += [
            helper.make_node("MatMul", [f"h{i}", f"up{i}"], [f"u{i}"], f"up{i}"),
            helper.make_node("MatMul", [f"h{i}", f"gate{i}"], [f"g{i}"], f"gate{i}"),
            helper.make_node("Sigmoid", [f"g{i}"], [f"r{i}"], f"sigmoid{i}"),
            helper.make_node("Mul", [f"u{i}", f"r{i}"], [f"m{i}"], f"mul{i}"),
            helper.make_node("MatMul", [f"m{i}", f"down{i}"], [f"d{i}"], f"down{i}"),
            helper.make_node("Add", [f"h{i}", f"d{i}"], [f"h{i + 1}"], f"add{i}"),
        ]
    nodes.append(helper.make_node("MatMul", [f"h{layers}", "head"], ["y"], "head"))
    graph = helper.make_graph(
        nodes,
        "main",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [rows, WIDTH])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [rows, HIDDEN])],
        [from_array(w.astype(np.float32), name) for name, w in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def language_model(length: int = 12, *, causal: bool = True, seed: int = 0) -> onnx.ModelProto:
    """Tokens -> table -> mean over the tokens so far (or all) -> logits over the table's rows."""
    rng = np.random.default_rng(seed)
    average = np.tril(np.ones((length, length))) if causal else np.ones((length, length))
    average = average * 0.3 ** np.abs(np.subtract.outer(np.arange(length), np.arange(length)))
    weights = {
        "table": rng.standard_normal((VOCABULARY, WIDTH)),
        "average": average / average.sum(axis=1, keepdims=True),
        "up": rng.standard_normal((WIDTH, HIDDEN)),
        "head": rng.standard_normal((HIDDEN, VOCABULARY)) * 0.2,
    }
    nodes = [
        helper.make_node("Gather", ["table", "tokens"], ["e"], "embedding"),
        helper.make_node("MatMul", ["average", "e"], ["a"], "attend"),
        helper.make_node("MatMul", ["a", "up"], ["u"], "up"),
        helper.make_node("Tanh", ["u"], ["t"], "tanh"),
        helper.make_node("MatMul", ["t", "head"], ["logits"], "head"),
    ]
    graph = helper.make_graph(
        nodes,
        "main",
        [helper.make_tensor_value_info("tokens", TensorProto.INT64, [1, length])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, length, VOCABULARY])],
        [from_array(w.astype(np.float32), name) for name, w in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def loaded(model: onnx.ModelProto, folder):
    """The model as the compressions get it."""
    from graph_ir.load import load_model

    onnx.save(model, folder / "model.onnx")
    return load_model(folder / "model.onnx")
