"""Small questions about ONNX nodes and values that fusion and lowering both ask."""

from math import prod

import onnx_ir as ir

from graph_ir.errors import InputError


def op_key(node: ir.Node) -> str:
    """The op's name in our tables: `Conv`, or `domain::Op` outside the standard domain."""
    if node.domain in ("", "ai.onnx"):
        return node.op_type
    return f"{node.domain}::{node.op_type}"


def value_name(value: ir.Value) -> str:
    """The value's name; every value of a loaded model has one."""
    return value.name or "<unnamed>"


def node_name(node: ir.Node) -> str:
    """The node's name; every node of a loaded model has one."""
    return node.name or "<unnamed>"


def shape_of(value: ir.Value) -> tuple[int, ...]:
    """The static shape of a value.

    Raises:
        InputError: where a dimension is unknown.
    """
    if value.shape is not None:
        dims = tuple(value.shape)
    elif value.const_value is not None:
        dims = tuple(value.const_value.numpy().shape)
    else:
        raise InputError(f"value {value_name(value)}: expected a static shape, got an unknown one")
    if not all(isinstance(dim, int) for dim in dims):
        text = ", ".join(str(dim) for dim in dims)
        raise InputError(f"value {value_name(value)}: expected a static shape, got [{text}]")
    return tuple(int(dim) for dim in dims if isinstance(dim, int))


def element_count(value: ir.Value) -> int:
    """Elements of a value; 1 for a scalar."""
    return prod(shape_of(value))


def data_type_of(value: ir.Value) -> ir.DataType:
    """The ONNX element type of a value.

    Raises:
        InputError: where it is unknown.
    """
    if value.dtype is not None:
        return value.dtype
    if value.const_value is not None:
        return value.const_value.dtype
    raise InputError(f"value {value_name(value)}: expected a known element type, got none")


def is_constant(value: ir.Value) -> bool:
    """True for an initializer that no caller can override, and for a Constant node's result."""
    if value.is_graph_input():
        return False
    producer = value.producer()
    if producer is not None:
        return op_key(producer) == "Constant"
    return value.is_initializer()


def constant_ints(value: ir.Value | None) -> tuple[int, ...] | None:
    """The elements of an integer constant, or None where the value is not one."""
    if value is None or not is_constant(value):
        return None
    tensor = ir.convenience.get_const_tensor(value)
    if tensor is None:
        return None
    return tuple(int(element) for element in tensor.numpy().reshape(-1))


def normalized_axis(axis: int, rank: int) -> int:
    """A possibly negative axis as one in `[0, rank)`."""
    return axis + rank if axis < 0 else axis
