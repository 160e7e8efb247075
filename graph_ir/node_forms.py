"""Element types and shapes of a node's outputs, from those of its inputs."""

from collections.abc import Mapping

import onnx
import onnx_ir as ir

from graph_ir.errors import InputError
from graph_ir.one_node import OneNode, OneNodeError, TensorForm, output_forms
from graph_ir.text import quoted, reason_of

# Larger constants cannot matter to a shape, and inference copies what it is given.
_SHAPE_CONSTANT_BYTES = 1 << 16

_ONNX_ERRORS = (
    onnx.shape_inference.InferenceError,
    onnx.checker.ValidationError,  # of an operator that is defined by a function
    RuntimeError,
    ValueError,
)

_STANDARD_DOMAIN = ""
_KNOWN_DOMAINS = ("", "com.microsoft")


def describe_node(node: ir.Node) -> str:
    """Name and operator of a node, for messages."""
    domain = f"{node.domain}::" if node.domain else ""
    name = node.name or next((value.name for value in node.outputs if value.name), "") or ""
    return f"node {quoted(name)} ({quoted(domain + node.op_type)[1:-1]})"


def is_constant(value: ir.Value) -> bool:
    """True for an initializer that no caller can override."""
    return value.const_value is not None and value.is_initializer() and not value.is_graph_input()


def isolate(node: ir.Node, opsets: Mapping[str, int]) -> OneNode:
    """A node taken out of its graph; its inputs must have static shapes."""
    proto = ir.serde.serialize_node(node)
    del proto.input[:]
    del proto.output[:]
    forms: list[TensorForm | None] = []
    constants: dict[str, onnx.TensorProto] = {}
    for index, value in enumerate(node.inputs):
        name = f"i{index}" if value is not None else ""
        proto.input.append(name)
        forms.append(form_of(value) if value is not None else None)
        if value is None or value.const_value is None or not is_constant(value):
            continue
        if value.const_value.nbytes <= _SHAPE_CONSTANT_BYTES:
            constants[name] = ir.serde.serialize_tensor(value.const_value)
            constants[name].name = name
    for index, output in enumerate(node.outputs):
        proto.output.append(f"o{index}" if output.name else "")
    return OneNode(proto, tuple(forms), constants, dict(opsets))


def form_of(value: ir.Value) -> TensorForm:
    """The form of a value whose shape is static."""
    assert value.dtype is not None, value
    assert value.shape is not None, value
    return TensorForm(value.dtype, tuple(static_shape(value.shape)))


def static_shape(shape: ir.Shape | ir.ShapeProtocol) -> tuple[int, ...]:
    """The extents of a shape that has no symbols."""
    # Extents are ints here; the declared type leaves room for symbols.
    return tuple(extent for extent in shape if isinstance(extent, int))


def check_operator(node: ir.Node, opsets: Mapping[str, int], source: str) -> None:
    """Refuses operators that are not known, and uses of known ones that ONNX does not define.

    Raises:
        InputError: naming the node.
    """
    if node.domain not in _KNOWN_DOMAINS:
        raise InputError(
            f"{source}: {describe_node(node)}: unknown operator: domain {quoted(node.domain)} is "
            "neither ai.onnx nor com.microsoft"
        )
    if node.domain not in opsets:
        raise InputError(
            f"{source}: {describe_node(node)}: the opset of its domain is not declared"
        )
    if node.domain != _STANDARD_DOMAIN:
        return
    context = onnx.checker.C.CheckerContext()
    context.ir_version = onnx.IR_VERSION
    context.opset_imports = {"": opsets[""]}
    try:
        onnx.checker.check_node(ir.serde.serialize_node(node), context)
    except onnx.checker.ValidationError as error:
        raise InputError(f"{source}: {describe_node(node)}: {reason_of(error)}") from error


def infer_forms(node: ir.Node, opsets: Mapping[str, int], source: str) -> dict[int, TensorForm]:
    """Forms of a node's outputs by their index, as far as they can be inferred.

    ONNX's own inference comes first; where it knows no answer (onnxruntime's own operators, and
    some standard ones) onnxruntime is asked.

    Raises:
        InputError: neither accepts the node.
    """
    isolated = isolate(node, opsets)
    refusals: list[Exception] = []
    forms: dict[str, TensorForm] = {}
    wanted = [name for name in isolated.proto.output if name]
    if node.domain == _STANDARD_DOMAIN:
        try:
            forms = _onnx_forms(isolated)
        except _ONNX_ERRORS as error:
            refusals.append(error)
    if not all(name in forms and None not in forms[name].shape for name in wanted):
        try:
            forms |= output_forms(isolated)
        except OneNodeError as error:
            refusals.append(error)
            if not forms:
                unknown = "is not a registered function/op" in str(error)
                reason = "onnxruntime has no such operator" if unknown else reason_of(refusals[0])
                raise InputError(f"{source}: {describe_node(node)}: {reason}") from error
    return {int(name[1:]): forms[name] for name in wanted if name in forms}


def _onnx_forms(node: OneNode) -> dict[str, TensorForm]:
    proto = node.proto
    schema = onnx.defs.get_schema(proto.op_type, node.opsets[""], "")
    types = {
        name: onnx.helper.make_tensor_type_proto(int(form.data_type), form.shape)
        for name, form in zip(proto.input, node.inputs, strict=True)
        if form is not None
    }
    imports = [onnx.helper.make_opsetid(domain, version) for domain, version in node.opsets.items()]
    inferred = onnx.shape_inference.infer_node_outputs(
        schema, proto, types, dict(node.constants), opset_imports=imports
    )
    forms: dict[str, TensorForm] = {}
    for name, kind in inferred.items():
        if not kind.HasField("tensor_type") or not kind.tensor_type.HasField("shape"):
            continue
        shape = tuple(
            extent.dim_value if extent.HasField("dim_value") else None
            for extent in kind.tensor_type.shape.dim
        )
        if kind.tensor_type.elem_type:
            forms[name] = TensorForm(ir.DataType(kind.tensor_type.elem_type), shape)
    return forms


def check_types(node: ir.Node, opsets: Mapping[str, int], source: str) -> None:
    """Refuses operand types that a standard operator does not take, and mixtures of them.

    Raises:
        InputError: naming the node and the operand.
    """
    for value in node.inputs:
        if value is not None and value.dtype == ir.DataType.STRING:
            raise InputError(
                f"{source}: {describe_node(node)}: its input {quoted(value.name or '')} holds "
                "strings, which have no fixed size"
            )
    if node.domain != _STANDARD_DOMAIN:
        return
    schema = onnx.defs.get_schema(node.op_type, opsets[""], "")
    parameters = list(schema.inputs)
    bound: dict[str, ir.DataType] = {}
    for index, value in enumerate(node.inputs):
        if value is None or value.dtype is None:
            continue
        parameter = parameters[min(index, len(parameters) - 1)]
        where = f"{source}: {describe_node(node)}: input {quoted(value.name or '')}"
        if _type_text(value.dtype) not in parameter.types:
            raise InputError(f"{where}: the operator does not take {value.dtype.name}")
        expected = bound.setdefault(parameter.type_str, value.dtype)
        if parameter.is_homogeneous and expected != value.dtype:
            raise InputError(f"{where}: is {value.dtype.name}, another operand {expected.name}")


def _type_text(data_type: ir.DataType) -> str:
    return f"tensor({data_type.name.lower()})"
