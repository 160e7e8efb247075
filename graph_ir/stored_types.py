"""The execution type in which a value of an ONNX element type is stored."""

import numpy as np
import onnx_ir as ir

from graph_ir.errors import InputError
from graph_ir.onnx_values import data_type_of, is_constant, op_key, value_name

_INT32 = np.iinfo(np.int32)

# Floats take the execution type of the lowering; what a model has already quantized keeps its
# own. Indices are 64 bits wide in ONNX only, since 32 reach any element that fits a memory.
FIXED_TYPES: dict[ir.DataType, str] = {
    ir.DataType.FLOAT8E4M3FN: "fp8",
    ir.DataType.FLOAT8E4M3FNUZ: "fp8",
    ir.DataType.FLOAT8E5M2: "fp8",
    ir.DataType.FLOAT8E5M2FNUZ: "fp8",
    ir.DataType.INT64: "int32",
    ir.DataType.UINT64: "int32",
    ir.DataType.INT32: "int32",
    ir.DataType.UINT32: "int32",
    ir.DataType.INT16: "int16",
    ir.DataType.UINT16: "int16",
    ir.DataType.INT8: "int8",
    ir.DataType.UINT8: "int8",
    ir.DataType.INT4: "int4",
    ir.DataType.UINT4: "int4",
    ir.DataType.INT2: "int2",
    ir.DataType.UINT2: "int2",
    ir.DataType.BOOL: "bool",
}
FLOAT_TYPES: frozenset[ir.DataType] = frozenset(
    {ir.DataType.FLOAT, ir.DataType.FLOAT16, ir.DataType.BFLOAT16, ir.DataType.DOUBLE}
)


# Constants of these types that only scale compressed weights.
SCALE_TYPES: dict[ir.DataType, str] = {
    ir.DataType.FLOAT16: "fp16",
    ir.DataType.BFLOAT16: "bf16",
}


def stored_type(value: ir.Value, execution_type: str) -> str:
    """The key of `graph_ir.datatypes.BITS` for a value.

    Scales of compressed weights are kept as they are, whatever type computes with the weights.

    Args:
        value: of a loaded model.
        execution_type: what floats are stored and computed in.

    Raises:
        InputError: for types that no accelerator stores (strings, complex numbers).
    """
    data_type = data_type_of(value)
    if data_type in SCALE_TYPES and _is_scale(value):
        return SCALE_TYPES[data_type]
    if data_type in FLOAT_TYPES:
        return execution_type
    fixed = FIXED_TYPES.get(data_type)
    if fixed is None:
        raise InputError(
            f"value {value_name(value)}: expected a numeric element type, got {data_type.name}"
        )
    if data_type in (ir.DataType.INT64, ir.DataType.UINT64) and _exceeds_int32(value):
        return "int64"
    return fixed


def _is_scale(value: ir.Value) -> bool:
    """True for a constant that is nothing but the scale of DequantizeLinear, through casts."""
    if not is_constant(value) or not value.uses():
        return False
    pending = list(value.uses())
    while pending:
        node, index = pending.pop()
        if node.op_type == "DequantizeLinear" and index == 1:
            continue
        if op_key(node) != "Cast" or node.outputs[0].is_graph_output():
            return False
        pending.extend(node.outputs[0].uses())
    return True


def _exceeds_int32(value: ir.Value) -> bool:
    """True for a constant that 32 bits cannot hold; other values are taken for indices."""
    if not is_constant(value):
        return False
    tensor = ir.convenience.get_const_tensor(value)
    if tensor is None or tensor.size == 0:
        return False
    array = tensor.numpy()
    return bool(array.min() < _INT32.min or array.max() > _INT32.max)
