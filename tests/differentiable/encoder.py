"""A small seeded BERT-like encoder as an ONNX file, for tests of what runs or trains in torch."""

from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

WIDTH, HEADS, INNER, LENGTH, VOCABULARY, CLASSES = 32, 2, 64, 12, 40, 3


class _Builder:
    """Collects nodes and seeded constants."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, name: str, array: NDArray[np.generic]) -> str:
        self.constants.append(onnx.numpy_helper.from_array(np.asarray(array), name))
        return name

    def weight(self, name: str, *shape: int, spread: float = 1.0) -> str:
        # Heavy tails, as trained weights have.
        array = self.rng.standard_t(5, shape) * spread / np.sqrt(shape[0])
        return self.constant(name, array.astype(np.float32))

    def node(self, op: str, *inputs: str, **attributes: object) -> str:
        name = f"{op}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, list(inputs), [name], name, **attributes))
        return name

    def linear(self, name: str, x: str, inner: int, columns: int, spread: float = 1.0) -> str:
        product = self.node(
            "MatMul", x, self.weight(f"{name}.weight", inner, columns, spread=spread)
        )
        return self.node("Add", product, self.weight(f"{name}.bias", columns, spread=0.1))

    def norm(self, name: str, x: str) -> str:
        scale = self.constant(f"{name}.scale", np.ones(WIDTH, np.float32))
        shift = self.constant(f"{name}.shift", np.zeros(WIDTH, np.float32))
        return self.node("LayerNormalization", x, scale, shift, axis=-1)

    def heads(self, x: str, perm: list[int]) -> str:
        shape = self.constant(
            f"shape_{len(self.nodes)}", np.array([1, LENGTH, HEADS, WIDTH // HEADS])
        )
        return self.node("Transpose", self.node("Reshape", x, shape), perm=perm)


def _layer(b: _Builder, at: int, x: str, mask: str, fused: bool) -> str:
    query, key, value = (b.linear(f"l{at}.{part}", x, WIDTH, WIDTH) for part in "qkv")
    if fused:
        heads = {"q_num_heads": HEADS, "kv_num_heads": HEADS}
        context = b.node("Attention", query, key, value, mask, **heads)
    else:
        scale = b.constant(f"l{at}.root", np.float32((WIDTH // HEADS) ** 0.5))
        scores = b.node("MatMul", b.heads(query, [0, 2, 1, 3]), b.heads(key, [0, 2, 3, 1]))
        scores = b.node("Add", b.node("Div", scores, scale), mask)
        probabilities = b.node("Softmax", scores, axis=-1)
        context = b.node("MatMul", probabilities, b.heads(value, [0, 2, 1, 3]))
        context = b.node("Transpose", context, perm=[0, 2, 1, 3])
        context = b.node("Reshape", context, b.constant(f"l{at}.flat", np.array([1, LENGTH, -1])))
    x = b.norm(f"l{at}.norm1", b.node("Add", x, b.linear(f"l{at}.out", context, WIDTH, WIDTH)))
    hidden = b.node("Relu", b.linear(f"l{at}.up", x, WIDTH, INNER))
    return b.norm(f"l{at}.norm2", b.node("Add", x, b.linear(f"l{at}.down", hidden, INNER, WIDTH)))


def encoder_model(path: Path, layers: int = 2, seed: int = 0, *, fused: bool = False) -> None:
    """Writes an encoder: token ids and a mask of ones in, logits of three classes out.

    Args:
        path: of the file.
        layers: how many.
        seed: of the weights.
        fused: attention as one node of opset 23.
    """
    b = _Builder(seed)
    x = b.node("Gather", b.weight("table", VOCABULARY, WIDTH, spread=6.0), "ids")
    x = b.norm("embedding", x)
    real = b.node("Cast", "mask", to=TensorProto.FLOAT)
    missing = b.node("Sub", b.constant("one", np.float32(1)), real)
    mask = b.node("Mul", missing, b.constant("far", np.float32(-1e4)))
    mask = b.node("Unsqueeze", mask, b.constant("axes", np.array([1, 2])))
    if fused:
        # onnxruntime wants it for every query.
        mask = b.node("Expand", mask, b.constant("square", np.array([1, 1, LENGTH, LENGTH])))
    for at in range(layers):
        x = _layer(b, at, x, mask, fused)
    pooled = b.node("ReduceMean", x, b.constant("middle", np.array([1])), keepdims=0)
    head = [b.weight("head.weight", WIDTH, CLASSES), b.weight("head.bias", CLASSES)]
    b.nodes.append(helper.make_node("Gemm", [pooled, *head], ["logits"], "head"))
    ids = [
        helper.make_tensor_value_info(name, TensorProto.INT64, [1, LENGTH])
        for name in ("ids", "mask")
    ]
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, CLASSES])
    graph = helper.make_graph(b.nodes, "main", ids, [logits], b.constants)
    opsets = [helper.make_opsetid("", 23 if fused else 18)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=10), path)
