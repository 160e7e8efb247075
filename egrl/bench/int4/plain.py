"""The uncompressed model as every tool gets it: static, simplified, products as `MatMul`."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx_ir as ir

from graph_ir.load import load_model
from graph_ir.onnx_values import is_constant, op_key, shape_of
from graph_ir.opset import raise_opset
from graph_ir.passes.pipeline import run_lossless
from graph_ir.passes.rewiring import graph_of, unused_name
from graph_ir.save import save_model

# Where blocked quantization begins; below it some tools fall back to other forms.
OPSET = 21


def plain_file(model: Path, dims: Mapping[str, int], out: Path) -> Path:
    """Write `out/model.onnx` unless it is there.

    A Gemm with a constant right factor becomes MatMul and Add: the peers quantize only `MatMul`,
    and would leave a classifier or a head as it is, to be compared with ours that does not.

    Args:
        model: ONNX file.
        dims: extents of symbolic dimensions.
        out: folder.
    """
    path = out / "model.onnx"
    if path.exists():
        return path
    loaded = load_model(model, dims)
    raise_opset(loaded.graph_model, OPSET, str(model))
    run_lossless(loaded.graph_model)
    products_as_matmul(loaded.graph_model.graph)
    out.mkdir(parents=True, exist_ok=True)
    save_model(loaded.graph_model, out, "model")
    return path


def products_as_matmul(graph: ir.Graph) -> None:
    """Turn `Gemm(x, constant, bias)` without factors into `MatMul` and `Add`, in place."""
    for node in list(graph):
        if op_key(node) == "Gemm" and _is_plain(node):
            _replace(graph, node)


def _is_plain(node: ir.Node) -> bool:
    weight = node.inputs[1]
    if weight is None or not is_constant(weight):
        return False
    ones = all(node.attributes.get_float(name, 1.0) == 1.0 for name in ("alpha", "beta"))
    return ones and not node.attributes.get_int("transA", 0)


def _replace(graph: ir.Graph, node: ir.Node) -> None:
    left, weight, *rest = node.inputs
    assert left is not None
    assert weight is not None
    assert weight.const_value is not None
    result = node.outputs[0]
    if node.attributes.get_int("transB", 0):
        array = np.ascontiguousarray(weight.const_value.numpy().T)
        name = unused_name(graph, f"{weight.name}.turned")
        turned = ir.Value(
            name=name,
            shape=ir.Shape(array.shape),
            type=ir.TensorType(ir.DataType.FLOAT),
            const_value=ir.tensor(array, name=name),
        )
        graph.register_initializer(turned)
        weight = turned
    product = ir.node("MatMul", [left, weight], name=f"{node.name}/product")
    product.outputs[0].name = unused_name(graph, f"{result.name}.product")
    product.outputs[0].shape = ir.Shape((*shape_of(left)[:-1], shape_of(weight)[1]))
    product.outputs[0].type = ir.TensorType(ir.DataType.FLOAT)
    new = [product]
    if rest and rest[0] is not None:
        new.append(ir.node("Add", [product.outputs[0], rest[0]], name=f"{node.name}/bias"))
    result_name, last = result.name, new[-1].outputs[0]
    graph.insert_before(node, new)
    result.replace_all_uses_with(last, replace_graph_outputs=True)
    last.shape, last.type = result.shape, result.type
    graph_of(node).remove(node, safe=True)
    last.name = result_name
    for value in node.inputs:
        if value is not None and value.is_initializer() and not value.uses():
            graph.initializers.pop(value.name or "", None)
