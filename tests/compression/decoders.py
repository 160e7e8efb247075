"""Tiny decoders of one layer, in the forms that exporters give their norms."""

from dataclasses import dataclass

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

NORMS = ("rms", "rms-op", "layer", "layer-op")
SEQUENCE = 6
VOCABULARY = 40


@dataclass
class Decoder:
    """Collects nodes and seeded weights.

    Attributes:
        width: of the residual stream.
        norm: of `NORMS`.
        tied: the embedding is also the head, as a Gemm with transB.
        biases: products add biases; the embedding gets positions.
        layer_scale: what the second branch writes is scaled by channel.
    """

    width: int = 24
    norm: str = "rms"
    tied: bool = False
    biases: bool = False
    layer_scale: bool = False
    seed: int = 0

    def __post_init__(self):
        self.rng = np.random.default_rng(self.seed)
        self.nodes, self.weights = [], {}

    def constant(self, name, array):
        self.weights[name] = np.asarray(array)
        return name

    def random(self, name, *shape, scale=1.0):
        array = self.rng.standard_normal(shape) * scale / np.sqrt(shape[0] if len(shape) > 1 else 1)
        return self.constant(name, array.astype(np.float32))

    def node(self, op, inputs, name, **attributes):
        self.nodes.append(helper.make_node(op, inputs, [f"{name}.out"], name, **attributes))
        return f"{name}.out"

    def linear(self, x, columns, name, inner=None):
        weight = self.random(f"{name}.weight", inner or self.width, columns)
        y = self.node("MatMul", [x, weight], name)
        if self.biases:
            y = self.node("Add", [y, self.random(f"{name}.bias", columns, scale=0.3)], f"{name}_b")
        return y

    def normed(self, x, name):
        scale = self.constant(
            f"{name}.scale", self.rng.uniform(0.3, 2, self.width).astype(np.float32)
        )
        epsilon = self.constant(f"{name}.epsilon", np.array(1e-5, np.float32))
        two = self.constant(f"{name}.two", np.array(2, np.float32))
        axis = self.constant(f"{name}.axis", np.array([-1], np.int64))
        if self.norm == "rms-op":
            return self.node("RMSNormalization", [x, scale], name, axis=-1, epsilon=1e-5)
        bias = self.random(f"{name}.bias", self.width, scale=0.5)
        if self.norm == "layer-op":
            return self.node("LayerNormalization", [x, scale, bias], name, axis=-1, epsilon=1e-5)
        if self.norm == "layer":
            mean = self.node("ReduceMean", [x, axis], f"{name}_mean")
            x = self.node("Sub", [x, mean], f"{name}_centred")
        square = self.node("Pow", [x, two], f"{name}_square")
        mean = self.node("ReduceMean", [square, axis], f"{name}_power")
        root = self.node("Sqrt", [self.node("Add", [mean, epsilon], f"{name}_add")], f"{name}_root")
        y = self.node("Mul", [self.node("Div", [x, root], f"{name}_div"), scale], name)
        return self.node("Add", [y, bias], f"{name}_bias") if self.norm == "layer" else y

    def attention(self, x):
        query, key = self.linear(x, self.width, "query"), self.linear(x, self.width, "key")
        turned = self.node("Transpose", [key], "key_turned", perm=[0, 2, 1])
        scores = self.node("MatMul", [query, turned], "scores")
        shares = self.node("Softmax", [scores], "shares", axis=-1)
        value = self.linear(x, self.width, "value")
        return self.linear(self.node("MatMul", [shares, value], "mixed"), self.width, "projection")

    def gated(self, x):
        gate = self.node("Sigmoid", [self.linear(x, 32, "gate")], "sigmoid")
        product = self.node("Mul", [gate, self.linear(x, 32, "up")], "gated")
        return self.linear(product, self.width, "down", inner=32)

    def embedded(self):
        table = self.random("table", VOCABULARY, self.width, scale=VOCABULARY**0.5)
        # One channel stands out, as in trained models.
        self.weights["table"][:, 3] *= 6
        x = self.node("Gather", [table, "ids"], "embedding", axis=0)
        if not self.biases:
            return x
        places = self.random("positions", 1, SEQUENCE, self.width)
        return self.node("Add", [x, places], "positioned")

    def body(self):
        x = self.embedded()
        x = self.node(
            "Add", [x, self.attention(self.normed(x, "attention_norm"))], "attention_residual"
        )
        written = self.gated(self.normed(x, "ffn_norm"))
        if self.layer_scale:
            scale = self.random("layer_scale", self.width)
            written = self.node("Mul", [written, scale], "scaled")
        return self.node("Add", [x, written], "ffn_residual")

    def head(self, x):
        axis = self.constant("axis_0", np.array([0], np.int64))
        rows = self.node("Squeeze", [self.normed(x, "final_norm"), axis], "rows")
        if self.tied:
            return self.node("Gemm", [rows, "table"], "head", transB=1)
        return self.linear(rows, VOCABULARY, "head")

    def model(self, output=None):
        """Ids `[1, 6]` in, logits `[6, 40]` out; or another value named as the output."""
        last = output or self.head(self.body())
        self.nodes.append(helper.make_node("Identity", [last], ["logits"], "output"))
        graph = helper.make_graph(
            self.nodes,
            "main",
            [helper.make_tensor_value_info("ids", TensorProto.INT64, [1, SEQUENCE])],
            [helper.make_tensor_value_info("logits", TensorProto.FLOAT, None)],
            [numpy_helper.from_array(array, name) for name, array in self.weights.items()],
        )
        opset = 23 if self.norm == "rms-op" else 18
        return helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10
        )


def loaded(decoder, folder, model=None):
    """The decoder as `compile` has it when it compresses it."""
    from graph_ir.load import load_model
    from graph_ir.passes.pipeline import run_lossless

    onnx.save(model or decoder.model(), folder / "decoder.onnx")
    read = load_model(folder / "decoder.onnx")
    run_lossless(read.graph_model)
    return read


def ids(count=4, seed=1):
    """Inputs."""
    rng = np.random.default_rng(seed)
    return tuple({"ids": rng.integers(0, VOCABULARY, (1, SEQUENCE))} for _ in range(count))


def logits(graph_model, feeds):
    """What onnxruntime computes."""
    import onnx_ir as ir

    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.intra_op_num_threads = 1
    proto = ir.serde.serialize_model(graph_model)
    session = ort.InferenceSession(proto.SerializeToString(), options)
    return np.stack([session.run(["logits"], feed)[0] for feed in feeds])
