"""Raises the opset of a loaded model, for passes whose ops an older one does not have."""

import onnx
import onnx_ir as ir
from onnx import version_converter

from graph_ir.errors import InputError
from graph_ir.naming import name_everything
from graph_ir.static_shapes import make_static
from graph_ir.text import reason_of

# Larger constants never decide how an op is converted; they stay out of the converter's copies.
_KEPT_BYTES = 4096
# The newest IR version that onnxruntime 1.24 loads is 11; opset 21 needs 10 for its int4.
_IR_VERSION = 10


def raise_opset(model: ir.Model, opset: int, where: str) -> None:
    """Converts a model in place to a newer opset of the standard domain.

    Args:
        model: static, without functions; left alone where its opset is new enough.
        opset: wanted, at least.
        where: names the model in an error.

    Raises:
        InputError: onnx knows no conversion of one of its ops.
    """
    if convert_opset(model, opset, where):
        make_static(model.graph, model.opset_imports, where)
        name_everything(model.graph)


def convert_opset(model: ir.Model, opset: int, where: str) -> bool:
    """As `raise_opset`, without looking at shapes; nodes of functions stay as they are.

    Returns:
        Whether anything was converted.

    Raises:
        InputError: onnx knows no conversion of one of its ops.
    """
    model.ir_version = max(model.ir_version, _IR_VERSION)
    if model.opset_imports.get("", 0) >= opset:
        return False
    graph = model.graph
    overloads = {node.name: node.overload for node in graph if node.overload}
    weights = {
        name: value.const_value
        for name, value in graph.initializers.items()
        if value.const_value is not None and value.const_value.nbytes > _KEPT_BYTES
    }
    try:
        proto = _without(model, weights)
        converted = version_converter.convert_version(proto, opset)
    except Exception as error:  # the converter raises whatever its C++ code meets
        raise InputError(
            f"{where}: cannot be converted from opset {model.opset_imports.get('', 0)} "
            f"to {opset}: {reason_of(error)}"
        ) from error
    _take_over(model, ir.serde.deserialize_model(converted), weights)
    for node in model.graph:
        # The converter knows no overloads of functions.
        node.overload = overloads.get(node.name, node.overload)
    return True


def _without(model: ir.Model, weights: dict[str, ir.TensorProtocol]) -> onnx.ModelProto:
    """The model with its large constants as inputs."""
    values = [model.graph.initializers[name] for name in weights]
    graph = model.graph
    for value in values:
        del graph.initializers[value.name or ""]
        graph.inputs.append(value)
    try:
        proto: onnx.ModelProto = ir.serde.serialize_model(model)
    finally:
        for value in values:
            graph.inputs.remove(value)
            graph.register_initializer(value)
    return proto


def _take_over(model: ir.Model, converted: ir.Model, weights: dict[str, ir.TensorProtocol]) -> None:
    """Puts the converted graph into the model, constants back in their places."""
    graph = converted.graph
    for value in list(graph.inputs):
        tensor = weights.get(value.name or "")
        if tensor is not None:
            graph.inputs.remove(value)
            value.const_value = tensor
            graph.register_initializer(value)
    for name, version in model.opset_imports.items():
        graph.opset_imports.setdefault(name, version)
    model.graph = graph
