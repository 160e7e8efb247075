"""Random graphs of small ops, for properties that must hold of any graph."""

from dataclasses import dataclass

import numpy as np
import onnx
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

ROWS, COLUMNS = 4, 8
# One node (or a pattern of nodes) each; every value has ROWS x COLUMNS elements.
KINDS = (
    "relu",
    "sigmoid",
    "add",
    "mul",
    "sub_reversed",
    "matmul",
    "conv",
    "softmax",
    "layer_norm",
    "transpose_product",
    "flip",
    "halves",
    "reshape",
    "gate",
    "rms_norm",
    "attention",
    "quantize",
    "mean",
)


@dataclass(frozen=True)
class Step:
    """One pattern and the values, counted from the first, that it reads."""

    kind: str
    first: int
    second: int


@st.composite
def random_models(draw: st.DrawFn) -> onnx.ModelProto:
    """Parents are drawn among earlier values, so every graph is acyclic."""
    count = draw(st.integers(1, 14))
    steps = []
    for at in range(count):
        # Mostly the latest values, so that chains and diamonds form.
        near = st.integers(max(0, at - 2), at)
        far = st.integers(0, at)
        steps.append(Step(draw(st.sampled_from(KINDS)), draw(near), draw(st.one_of(near, far))))
    outputs = draw(st.sets(st.integers(0, count - 1), max_size=2))
    return build(steps, sorted(outputs | {count - 1}))


def build(steps: list[Step], outputs: list[int]) -> onnx.ModelProto:
    """The model of some steps; `outputs` says which of their results leave it."""
    random = np.random.default_rng(0)
    nodes: list[onnx.NodeProto] = []
    constants = {
        "w": random.standard_normal((COLUMNS, COLUMNS)).astype(np.float32) / 3,
        "kernel": random.standard_normal((ROWS, ROWS, 3)).astype(np.float32) / 3,
        "gamma": random.standard_normal(COLUMNS).astype(np.float32),
        "image": np.array([1, ROWS, COLUMNS]),
        "flat": np.array([ROWS, COLUMNS]),
        "column": np.array([COLUMNS, ROWS]),
        "last": np.array([-1]),
        "zero": np.array([0]),
        "half": np.array([COLUMNS // 2]),
        "full": np.array([COLUMNS]),
        "eps": np.float32(1e-5),
        "step": np.float32(0.1),
        "point": np.uint8(128),
    }

    def emit(kind: str, *inputs: str, **attributes: object) -> str:
        name = f"{kind}_{len(nodes)}"
        nodes.append(
            helper.make_node(kind, list(inputs), [name], name=f"node_{name}", **attributes)
        )
        return name

    values = ["x"]
    for step in steps:
        values.append(_emit_step(step, values, emit))
    chosen = list(dict.fromkeys(values[at + 1] for at in outputs))
    graph = helper.make_graph(
        nodes,
        "random",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [ROWS, COLUMNS])],
        [helper.make_tensor_value_info(v, TensorProto.FLOAT, [ROWS, COLUMNS]) for v in chosen],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    return onnx.shape_inference.infer_shapes(model, strict_mode=True)


def _emit_step(step: Step, values: list[str], emit) -> str:
    a, b = values[step.first], values[step.second]
    match step.kind:
        case "relu":
            return emit("Relu", a)
        case "sigmoid":
            return emit("Sigmoid", a)
        case "add":
            return emit("Add", a, b)
        case "mul":
            return emit("Mul", b, a)
        case "sub_reversed":
            return emit("Sub", b, a)
        case "matmul":
            return emit("MatMul", a, "w")
        case "conv":
            wide = emit("Conv", emit("Reshape", a, "image"), "kernel", pads=[1, 1])
            return emit("Reshape", wide, "flat")
        case "softmax":
            return emit("Softmax", a)
        case "layer_norm":
            return emit("LayerNormalization", a, "gamma")
        case "transpose_product":
            square = emit("MatMul", emit("Transpose", a, perm=[1, 0]), b)
            return emit("MatMul", a, square)
        case "flip":
            return emit("Transpose", emit("Reshape", a, "column"), perm=[1, 0])
        case "halves":
            left = emit("Slice", a, "zero", "half", "last")
            right = emit("Slice", b, "half", "full", "last")
            return emit("Concat", emit("Neg", right), left, axis=-1)
        case "reshape":
            return emit("Reshape", emit("Reshape", a, "column"), "flat")
        case "gate":
            return emit("Mul", a, emit("Sigmoid", a))
        case "rms_norm":
            mean = emit("ReduceMean", emit("Mul", a, a), "last")
            return emit("Mul", emit("Div", a, emit("Sqrt", emit("Add", mean, "eps"))), "gamma")
        case "attention":
            scores = emit("MatMul", a, emit("Transpose", b, perm=[1, 0]))
            return emit("MatMul", emit("Softmax", emit("Mul", scores, "step")), a)
        case "quantize":
            small = emit("QuantizeLinear", a, "step", "point")
            return emit("DequantizeLinear", small, "step", "point")
        case _:
            return emit("Sub", a, emit("ReduceMean", b, "last"))
