"""Small models with matrix products, for tests of compression."""

import numpy as np
import onnx
from onnx import TensorProto, helper


def product_model(
    inner: int, columns: int, seed: int = 0, *, gemm: bool = False
) -> onnx.ModelProto:
    """`y = x W + b`, rows of 4, seeded normal weights; a Gemm has its weight transposed."""
    rng = np.random.default_rng(seed)
    weight = rng.standard_normal((inner, columns)).astype(np.float32)
    bias = rng.standard_normal(columns).astype(np.float32)
    stored = np.ascontiguousarray(weight.T) if gemm else weight
    initializers = [
        onnx.numpy_helper.from_array(stored, "weight"),
        onnx.numpy_helper.from_array(bias, "bias"),
    ]
    if gemm:
        nodes = [helper.make_node("Gemm", ["x", "weight", "bias"], ["y"], "product", transB=1)]
    else:
        nodes = [
            helper.make_node("MatMul", ["x", "weight"], ["p"], "product"),
            helper.make_node("Add", ["p", "bias"], ["y"], "add"),
        ]
    graph = helper.make_graph(
        nodes,
        "main",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [4, inner])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [4, columns])],
        initializers,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
