"""Checks that a `TensorProto` holds as many bytes as it declares, before anything is allocated."""

from math import prod

import onnx
import onnx_ir as ir

from graph_ir.errors import InputError

_DATA_FIELDS = (
    "float_data",
    "int32_data",
    "string_data",
    "int64_data",
    "double_data",
    "uint64_data",
)

# Where the elements of a type are when they are not in raw_data.
_FIELD_OF_TYPE = {
    ir.DataType.FLOAT: "float_data",
    ir.DataType.COMPLEX64: "float_data",
    ir.DataType.DOUBLE: "double_data",
    ir.DataType.COMPLEX128: "double_data",
    ir.DataType.INT64: "int64_data",
    ir.DataType.UINT64: "uint64_data",
    ir.DataType.UINT32: "uint64_data",
    ir.DataType.STRING: "string_data",
}


def declared_type(where: str, tensor: onnx.TensorProto) -> ir.DataType:
    """The element type of a tensor.

    Raises:
        InputError: the number is not a type that ONNX defines.
    """
    try:
        data_type = ir.DataType(tensor.data_type)
    except ValueError as error:
        raise InputError(f"{where}: unknown data type {tensor.data_type}") from error
    if data_type is ir.DataType.UNDEFINED:
        raise InputError(f"{where}: its data type is undefined")
    return data_type


def declared_bytes(where: str, tensor: onnx.TensorProto) -> int:
    """Bytes that a tensor's shape and type ask for, packed as ONNX packs them.

    Raises:
        InputError: a negative extent or an unknown type.
    """
    data_type = declared_type(where, tensor)
    if any(extent < 0 for extent in tensor.dims):
        raise InputError(f"{where}: negative extent in its shape {list(tensor.dims)}")
    if data_type is ir.DataType.STRING:
        raise InputError(f"{where}: strings have no fixed size")
    return int(prod(tensor.dims) * data_type.bitwidth + 7) // 8


def check_inline_tensor(where: str, tensor: onnx.TensorProto) -> None:
    """Compares what a tensor declares with the data that it carries.

    Args:
        where: file and tensor, for the message.
        tensor: one whose data is not external.

    Raises:
        InputError: they differ.
    """
    data_type = declared_type(where, tensor)
    if any(extent < 0 for extent in tensor.dims):
        raise InputError(f"{where}: negative extent in its shape {list(tensor.dims)}")
    if tensor.HasField("segment"):
        raise InputError(f"{where}: segmented tensors are not supported")
    filled = [field for field in _DATA_FIELDS if len(getattr(tensor, field))]
    elements = prod(tensor.dims)
    if tensor.HasField("raw_data") and not (filled and not tensor.raw_data):
        if filled or data_type is ir.DataType.STRING:
            raise InputError(f"{where}: expected one data field, got raw_data beside others")
        expected, got, unit = declared_bytes(where, tensor), len(tensor.raw_data), "bytes"
    else:
        field = _FIELD_OF_TYPE.get(data_type, "int32_data")
        if any(other != field for other in filled):
            raise InputError(f"{where}: {data_type.name} data expected in {field}, got {filled}")
        expected, got, unit = elements, len(getattr(tensor, field)), "values"
        if data_type in (ir.DataType.COMPLEX64, ir.DataType.COMPLEX128):
            expected = 2 * elements
        elif data_type is not ir.DataType.STRING and data_type.bitwidth in (2, 4):
            expected = (elements * data_type.bitwidth + 7) // 8
    if expected != got:
        raise InputError(
            f"{where}: {data_type.name}{list(tensor.dims)} needs {expected} {unit}, "
            f"got {got} in the file"
        )
