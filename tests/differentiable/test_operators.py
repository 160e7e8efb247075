"""Every function in torch against onnxruntime, one node at a time."""

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
import pytest
import torch
from onnx import helper

from egrl.differentiable.graph import TorchGraph
from egrl.differentiable.registry import FUNCTIONS
from egrl.differentiable.types import as_tensor
from graph_ir.errors import InputError
from graph_ir.naming import name_everything


def _floats(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape) + 7).standard_normal(shape).astype(np.float32)


def _ints(*elements: int) -> np.ndarray:
    return np.array(elements, np.int64)


X = _floats(2, 3, 4)
IMAGE = _floats(1, 4, 9, 8)
POSITIVE = np.abs(X) + np.float32(0.1)
MASK = X > 0
Q4 = np.random.default_rng(0).integers(-8, 8, (6, 3)).astype(np.int8)

# operator, inputs (the first is fed, the others are constants), attributes, opset
CASES = [
    *((op, [X], {}, 21) for op in (
        "Abs", "Ceil", "Cos", "Erf", "Exp", "Floor", "HardSwish", "Identity", "IsNaN", "Neg",
        "Reciprocal", "Relu", "Round", "Sigmoid", "Sin", "Softplus", "Tanh",
    )),
    ("Sqrt", [POSITIVE], {}, 21),
    ("Log", [POSITIVE], {}, 21),
    ("Not", [MASK], {}, 21),
    ("Dropout", [X], {}, 21),
    ("Gelu", [X], {}, 21),
    ("Gelu", [X], {"approximate": "tanh"}, 21),
    ("Swish", [X], {"alpha": 0.5}, 24),
    ("LeakyRelu", [X], {"alpha": 0.2}, 21),
    ("Elu", [X], {"alpha": 0.7}, 21),
    ("HardSigmoid", [X], {"alpha": 0.3, "beta": 0.4}, 21),
    ("PRelu", [X, _floats(4)], {}, 21),
    *((op, [X, _floats(3, 1)], {}, 21) for op in (
        "Add", "Sub", "Mul", "Div", "Max", "Min", "Equal", "Greater", "GreaterOrEqual", "Less",
        "LessOrEqual", "Sum",
    )),
    ("Max", [X, _floats(4), _floats(3, 1)], {}, 21),
    ("Div", [_ints(-7, 7, 9), _ints(2, 2, -4)], {}, 21),
    ("Mod", [_ints(-7, 7, 9), _ints(4, 4, 4)], {}, 21),
    ("Mod", [X, _floats(4)], {"fmod": 1}, 21),
    ("Pow", [POSITIVE, np.float32(1.5)], {}, 21),
    ("And", [MASK, MASK[:1]], {}, 21),
    ("Or", [MASK, MASK[:1]], {}, 21),
    ("Where", [MASK, X, np.float32(2)], {}, 21),
    ("Clip", [X, np.float32(-0.3), np.float32(0.4)], {}, 21),
    ("Clip", [X, None, np.float32(0.4)], {}, 21),
    ("Clip", [X], {"min": -0.2, "max": 0.1}, 10),
    ("MatMul", [X, _floats(4, 5)], {}, 21),
    ("Gemm", [_floats(3, 4), _floats(5, 4), _floats(5)], {"transB": 1, "alpha": 0.5, "beta": 2.0},
     21),
    ("Gemm", [_floats(4, 3), _floats(4, 5)], {"transA": 1}, 21),
    ("Conv", [IMAGE, _floats(6, 2, 3, 3), _floats(6)],
     {"group": 2, "strides": [2, 1], "pads": [1, 0, 2, 1], "dilations": [1, 2]}, 21),
    ("Conv", [IMAGE, _floats(6, 4, 3, 2)], {"auto_pad": "SAME_UPPER", "strides": [2, 2]}, 21),
    ("Conv", [IMAGE, _floats(6, 4, 3, 2)], {"auto_pad": "SAME_LOWER"}, 21),
    ("Conv", [X, _floats(5, 3, 2)], {}, 21),
    ("MaxPool", [IMAGE], {"kernel_shape": [3, 2], "strides": [2, 2], "pads": [1, 0, 1, 1]}, 21),
    ("MaxPool", [X], {"kernel_shape": [2]}, 21),
    ("AveragePool", [IMAGE],
     {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "count_include_pad": 1}, 21),
    ("AveragePool", [X], {"kernel_shape": [2]}, 21),
    ("GlobalAveragePool", [IMAGE], {}, 21),
    ("GlobalMaxPool", [IMAGE], {}, 21),
    *((op, [X, _ints(-1, 1)], {"keepdims": 0}, 21) for op in (
        "ReduceMax", "ReduceMean", "ReduceMin", "ReduceSum", "ReduceL2", "ReduceSumSquare",
    )),
    ("ReduceSum", [X], {}, 21),
    ("ReduceSum", [X], {"noop_with_empty_axes": 1}, 21),
    ("ReduceMean", [X], {"axes": [1]}, 13),
    ("Softmax", [X], {"axis": 1}, 21),
    ("Softmax", [X], {"axis": 1}, 11),
    ("LogSoftmax", [X], {}, 21),
    ("CumSum", [X, np.int64(1)], {}, 21),
    ("CumSum", [X, np.int64(-1)], {"reverse": 1, "exclusive": 1}, 21),
    ("LayerNormalization", [X, _floats(4), _floats(4)], {"epsilon": 1e-3}, 21),
    ("LayerNormalization", [X, _floats(3, 4)], {"axis": 1}, 21),
    ("RMSNormalization", [X, _floats(4)], {}, 23),
    ("BatchNormalization", [IMAGE, _floats(4), _floats(4), _floats(4), POSITIVE[0, 0]], {}, 21),
    ("InstanceNormalization", [IMAGE, _floats(4), _floats(4)], {}, 21),
    ("Reshape", [X, _ints(0, -1)], {}, 21),
    ("Flatten", [X], {"axis": -1}, 21),
    ("Flatten", [X], {"axis": 0}, 21),
    ("Transpose", [X], {"perm": [2, 0, 1]}, 21),
    ("Transpose", [X], {}, 21),
    ("Unsqueeze", [X, _ints(0, -1)], {}, 21),
    ("Squeeze", [X[:, :1], _ints(1)], {}, 21),
    ("Squeeze", [X[:, :1]], {}, 21),
    ("Concat", [X, _floats(2, 1, 4)], {"axis": 1}, 21),
    ("Slice", [X, _ints(0, -1), _ints(2, -4), _ints(1, 2), _ints(1, -2)], {}, 21),
    ("Slice", [X, _ints(1), _ints(99)], {}, 21),
    ("Slice", [X], {"starts": [1], "ends": [3], "axes": [2]}, 9),
    ("Expand", [_floats(3, 1), _ints(2, 1, 4)], {}, 21),
    ("Tile", [X, _ints(1, 2, 1)], {}, 21),
    ("Pad", [X, _ints(1, 0, 0, 2), np.float32(3), _ints(2, 0)], {}, 21),
    ("Shape", [X], {"start": 1}, 21),
    ("Cast", [X], {"to": 7}, 21),
    ("Range", [np.int64(1), np.int64(9), np.int64(3)], {}, 21),
    ("ConstantOfShape", [_ints(2, 3)], {"value": onnx.numpy_helper.from_array(_floats(1))}, 21),
    ("ConstantOfShape", [_ints(2, 3)], {}, 21),
    ("Trilu", [X], {"upper": 0}, 21),
    ("Trilu", [X, np.int64(1)], {}, 21),
    ("Gather", [X, np.array([[0, -1]])], {"axis": 1}, 21),
    ("Gather", [X, np.int64(-1)], {"axis": 2}, 21),
    ("Gather", [X, np.array([1, 0], np.int32)], {}, 21),
    ("GatherElements", [X, np.array([[[0, -1, 1, 2]]] * 2)], {"axis": 1}, 21),
    ("GatherND", [X, np.array([[1, 2], [0, -1]])], {}, 21),
    ("GatherND", [X, np.array([[1], [2]])], {"batch_dims": 1}, 21),
    ("ScatterND", [X, np.array([[1, 2], [0, 0]]), _floats(2, 4)], {}, 21),
    ("ScatterND", [X, np.array([[1, 2], [1, 2]]), _floats(2, 4)], {"reduction": "add"}, 21),
    ("ScatterElements", [X, np.array([[[0, -1, 1, 2]]]), _floats(1, 1, 4)], {"axis": 1}, 21),
    ("ScatterElements", [X, np.array([[[0, 0, 0, 0]]]), _floats(1, 1, 4)],
     {"axis": 1, "reduction": "add"}, 21),
    ("DequantizeLinear", [Q4, _floats(3, 3)], {"axis": 0, "block_size": 2}, 21),
    ("DequantizeLinear", [Q4, np.float32(0.5), np.int8(3)], {}, 21),
    ("DequantizeLinear", [Q4, _floats(3), np.array([1, 2, -3], np.int8)], {"axis": 1}, 21),
    ("QuantizeLinear", [X, np.float32(0.03), np.uint8(128)], {}, 21),
    ("Attention", [_floats(1, 4, 5, 8), _floats(1, 2, 6, 8), _floats(1, 2, 6, 8)], {}, 23),
    ("Attention",
     [_floats(1, 5, 32), _floats(1, 5, 16), _floats(1, 5, 16)],
     {"q_num_heads": 4, "kv_num_heads": 2, "is_causal": 1, "scale": 0.3, "softcap": 2.0}, 23),
    ("Attention",
     [_floats(1, 2, 3, 4), _floats(1, 2, 3, 4), _floats(1, 2, 3, 4), MASK[0, :, :3]], {}, 23),
    ("Attention",
     [_floats(1, 2, 3, 4), _floats(1, 2, 3, 4), _floats(1, 2, 3, 4), _floats(3, 3)], {}, 23),
    ("RotaryEmbedding", [_floats(1, 2, 3, 8), _floats(3, 4)[None], _floats(4, 3).T[None]], {}, 23),
    ("RotaryEmbedding",
     [_floats(1, 3, 16), _floats(9, 2), _floats(2, 9).T, np.array([[4, 0, 8]])],
     {"num_heads": 2, "interleaved": 1, "rotary_embedding_dim": 4}, 23),
]  # fmt: skip


def _model(op, inputs, attributes, opset, outputs=1) -> onnx.ModelProto:
    names = ["" if array is None else f"i{at}" for at, array in enumerate(inputs)]
    node = helper.make_node(op, names, [f"o{at}" for at in range(outputs)], "node", **attributes)
    first = np.asarray(inputs[0])
    graph = helper.make_graph(
        [node],
        "main",
        [helper.make_tensor_value_info(
            "i0", helper.np_dtype_to_tensor_dtype(first.dtype), first.shape)],
        [onnx.ValueInfoProto(name=f"o{at}") for at in range(outputs)],
        [
            onnx.numpy_helper.from_array(np.ascontiguousarray(array), f"i{at}")
            if np.ndim(array) else onnx.numpy_helper.from_array(np.asarray(array), f"i{at}")
            for at, array in enumerate(inputs) if at and array is not None
        ],
    )  # fmt: skip
    opsets = [helper.make_opsetid("", opset)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10)


def _in_torch(model: onnx.ModelProto, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
    graph = ir.serde.deserialize_model(model).graph
    name_everything(graph)
    given = {value: as_tensor(feeds[value.name]) for value in graph.inputs}
    return [out.numpy() for out in TorchGraph(graph).run(given, list(graph.outputs))]


def _identity(index: int) -> str:
    return f"{index}-{CASES[index][0]}"


@pytest.mark.parametrize("index", range(len(CASES)), ids=_identity)
def test_equals_onnxruntime(index):
    op, inputs, attributes, opset = CASES[index]
    model = _model(op, inputs, attributes, opset)
    feeds = {"i0": np.asarray(inputs[0])}
    session = ort.InferenceSession(
        onnx.shape_inference.infer_shapes(model).SerializeToString(),
        providers=["CPUExecutionProvider"],
    )
    (expected,) = session.run(None, feeds)
    (got,) = _in_torch(model, feeds)
    assert got.dtype == expected.dtype
    assert got.shape == expected.shape
    span = float(np.ptp(expected.astype(np.float64))) or 1.0
    assert np.abs(got.astype(np.float64) - expected).max() <= 1e-5 * span


def test_every_function_is_tried():
    tried = {case[0] for case in CASES} | {"Split"}
    assert tried == set(FUNCTIONS)


@pytest.mark.parametrize("sizes", [None, [1, 3]])
def test_split(sizes):
    x = _floats(2, 4)
    model = _model("Split", [x] + ([] if sizes is None else [_ints(*sizes)]), {"axis": 1}, 13, 2)
    expected = ort.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    ).run(None, {"i0": x})
    for a, b in zip(_in_torch(model, {"i0": x}), expected, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("op", "inputs", "attributes", "reason"),
    [
        ("Einsum", [X], {"equation": "abc->a"}, "Einsum has no gradient here"),
        ("Pad", [X, _ints(1, 1, 1, 1, 1, 1)], {"mode": "reflect"}, "got reflect"),
        ("Cast", [X], {"to": 17}, "got ONNX type 17"),
        ("ScatterND", [X, np.array([[0]]), X[:1]], {"reduction": "mul"}, "got mul"),
        ("AveragePool", [IMAGE], {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}, "its border"),
    ],
)
def test_what_is_not_known_names_the_node(op, inputs, attributes, reason):
    with pytest.raises(InputError, match=reason) as caught:
        _in_torch(_model(op, inputs, attributes, 21), {"i0": inputs[0]})
    assert str(caught.value).startswith("node node: ")


def test_constants_are_views():
    array = _floats(3, 4)
    array.setflags(write=False)
    assert as_tensor(array).data_ptr() == array.ctypes.data


def test_gradients_reach_one_use_of_a_constant():
    model = _model("MatMul", [X, _floats(4, 5)], {}, 21)
    graph = ir.serde.deserialize_model(model).graph
    name_everything(graph)
    (node,) = graph
    weight = torch.zeros(4, 5, requires_grad=True)
    (out,) = TorchGraph(graph).run(
        {graph.inputs[0]: as_tensor(X)}, list(graph.outputs), {(node, 1): weight}
    )
    out.sum().backward()
    expected = X.reshape(-1, 4).sum(0)
    np.testing.assert_allclose(weight.grad.numpy(), np.tile(expected[:, None], 5), rtol=1e-5)


def test_a_missing_input_is_named():
    graph = ir.serde.deserialize_model(_model("Neg", [X], {}, 21)).graph
    name_everything(graph)
    with pytest.raises(InputError, match="input i0: expected a tensor"):
        TorchGraph(graph).run({}, list(graph.outputs))
