"""Asks onnxruntime about one node on its own: its output types, or its outputs.

Shape arithmetic and weights are folded with the kernels that would compute them at run time, so
folding cannot differ from running. A session for one node takes a fraction of a millisecond.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

Array = NDArray[np.generic]

ORT_ERRORS: tuple[type[Exception], ...] = (
    ort_errors.Fail,
    ort_errors.InvalidArgument,
    ort_errors.InvalidGraph,
    ort_errors.InvalidProtobuf,
    ort_errors.NotImplemented,
    ort_errors.RuntimeException,
    ort_errors.EPFail,
    RuntimeError,
)
_NODE_ERRORS: tuple[type[Exception], ...] = (*ORT_ERRORS, ValueError)


class OneNodeError(Exception):
    """onnxruntime refuses the node, or fails when it runs it."""


@dataclass(frozen=True, slots=True)
class TensorForm:
    """Element type and extents of a value; None for an extent that is not known."""

    data_type: ir.DataType
    shape: tuple[int | None, ...]


@dataclass(frozen=True, slots=True)
class OneNode:
    """A node taken out of its graph.

    Attributes:
        proto: the node; value i of its inputs is called `i0`, `i1`, ..., of its outputs `o0`, ...,
            and one that is left out has an empty name.
        inputs: form of every input, None where it is left out.
        constants: those inputs, by name, whose values are known and small.
        opsets: versions by domain.
    """

    proto: onnx.NodeProto
    inputs: tuple[TensorForm | None, ...]
    constants: Mapping[str, onnx.TensorProto]
    opsets: Mapping[str, int]


def output_forms(node: OneNode) -> dict[str, TensorForm]:
    """Types and shapes as onnxruntime infers them, for the operators of its own domain too.

    Raises:
        OneNodeError: onnxruntime knows no such operator, or refuses this use of it.
    """
    session = _session(node, dict(node.constants))
    forms: dict[str, TensorForm] = {}
    for output in session.get_outputs():
        data_type = _DATA_TYPES.get(output.type)
        if data_type is None or output.shape is None:
            continue
        shape = tuple(
            extent if isinstance(extent, int) and extent >= 0 else None for extent in output.shape
        )
        forms[output.name] = TensorForm(data_type, shape)
    return forms


def evaluate(node: OneNode, values: Mapping[str, Array]) -> dict[str, Array]:
    """Runs the node.

    Args:
        node: whose inputs are all given in `values`.
        values: by input name.

    Raises:
        OneNodeError: onnxruntime cannot run it.
    """
    session = _session(node, {})
    names = [output.name for output in session.get_outputs()]
    try:
        results = session.run(names, dict(values))
    except _NODE_ERRORS as error:
        raise OneNodeError(str(error)) from error
    return dict(zip(names, results, strict=True))


def _session(node: OneNode, constants: dict[str, onnx.TensorProto]) -> ort.InferenceSession:
    inputs = [
        onnx.helper.make_tensor_value_info(name, int(form.data_type), form.shape)
        for name, form in zip(node.proto.input, node.inputs, strict=True)
        if form is not None and name not in constants
    ]
    outputs = [onnx.ValueInfoProto(name=name) for name in node.proto.output if name]
    graph = onnx.helper.make_graph([node.proto], "node", inputs, outputs, list(constants.values()))
    opsets = [onnx.helper.make_opsetid(domain, version) for domain, version in node.opsets.items()]
    model = onnx.helper.make_model(graph, opset_imports=opsets, ir_version=_IR_VERSION)
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.add_session_config_entry("session.disable_prepacking", "1")
    try:
        return ort.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
    except _NODE_ERRORS as error:
        raise OneNodeError(str(error)) from error


# One that every onnxruntime of the supported range reads, and that knows every data type.
_IR_VERSION = 10

_DATA_TYPES: dict[str, ir.DataType] = {
    "tensor(float)": ir.DataType.FLOAT,
    "tensor(double)": ir.DataType.DOUBLE,
    "tensor(float16)": ir.DataType.FLOAT16,
    "tensor(bfloat16)": ir.DataType.BFLOAT16,
    "tensor(int8)": ir.DataType.INT8,
    "tensor(uint8)": ir.DataType.UINT8,
    "tensor(int16)": ir.DataType.INT16,
    "tensor(uint16)": ir.DataType.UINT16,
    "tensor(int32)": ir.DataType.INT32,
    "tensor(uint32)": ir.DataType.UINT32,
    "tensor(int64)": ir.DataType.INT64,
    "tensor(uint64)": ir.DataType.UINT64,
    "tensor(bool)": ir.DataType.BOOL,
    "tensor(int4)": ir.DataType.INT4,
    "tensor(uint4)": ir.DataType.UINT4,
    "tensor(float8e4m3fn)": ir.DataType.FLOAT8E4M3FN,
    "tensor(float8e4m3fnuz)": ir.DataType.FLOAT8E4M3FNUZ,
    "tensor(float8e5m2)": ir.DataType.FLOAT8E5M2,
    "tensor(float8e5m2fnuz)": ir.DataType.FLOAT8E5M2FNUZ,
}
