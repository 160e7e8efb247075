"""onnxruntime sessions: options, errors in one line, what a graph wants for inputs."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from google.protobuf.message import DecodeError
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as ort_state

from graph_ir.errors import InputError
from runtime.manifest import Execution

Array = NDArray[np.generic]

LEVELS = {
    "disable": ort.GraphOptimizationLevel.ORT_DISABLE_ALL,
    "basic": ort.GraphOptimizationLevel.ORT_ENABLE_BASIC,
    "extended": ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
    "all": ort.GraphOptimizationLevel.ORT_ENABLE_ALL,
}

_DUMP_OPTIONS = (
    ("session.optimized_model_external_initializers_file_name", "constants.data"),
    ("session.optimized_model_external_initializers_min_size_in_bytes", "64"),
)

# Its exceptions share no base but Exception.
ORT_ERRORS: tuple[type[Exception], ...] = (
    ort_state.EPFail,
    ort_state.Fail,
    ort_state.InvalidArgument,
    ort_state.InvalidGraph,
    ort_state.InvalidProtobuf,
    ort_state.NoModel,
    ort_state.NoSuchFile,
    ort_state.NotImplemented,
    ort_state.RuntimeException,
    RuntimeError,
)

_NUMPY_TYPES: dict[str, type[np.generic]] = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(float16)": np.float16,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(int16)": np.int16,
    "tensor(int8)": np.int8,
    "tensor(uint64)": np.uint64,
    "tensor(uint32)": np.uint32,
    "tensor(uint16)": np.uint16,
    "tensor(uint8)": np.uint8,
    "tensor(bool)": np.bool_,
}


@dataclass(frozen=True, slots=True)
class Port:
    """An input or output of a graph: its name, element type and extents."""

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]


def make_session(
    model: Path | bytes,
    execution: Execution,
    threads: int | None = None,
    prepack: bool = True,
    dump: Path | None = None,
    profile: Path | None = None,
    arena: bool = True,
) -> ort.InferenceSession:
    """A CPU session; a model given by path has its external weights memory-mapped.

    Args:
        model: path of a file, or serialized model.
        execution: options.
        threads: instead of those of `execution`.
        prepack: whether kernels may rearrange constant weights when the session is made.
        dump: where to write the graph that it executes, its larger constants beside it.
        profile: what the name of the file of times begins with.
        arena: whether memory that a call gave back is kept for the next.

    Raises:
        InputError: onnxruntime refuses the model.
    """
    options = ort.SessionOptions()
    options.graph_optimization_level = LEVELS[execution.optimization_level]
    options.intra_op_num_threads = execution.intra_op_threads if threads is None else threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    # Without VNNI, products of unsigned and signed bytes saturate in 16 bits; such a CPU then
    # takes signed weights as unsigned ones where they need 8 bits, and computes what the graph
    # says. Elsewhere, and for weights of 7 bits, it changes nothing.
    if execution.optimization_level in ("disable", "basic") or not _has_blocked_bytes(model):
        options.add_session_config_entry("session.x64quantprecision", "1")
    if execution.accuracy_level is not None:
        options.add_session_config_entry(
            "session.qdq_matmulnbits_accuracy_level", str(execution.accuracy_level)
        )
    if dump is not None:
        options.optimized_model_filepath = str(dump)
        for key, text in _DUMP_OPTIONS:
            options.add_session_config_entry(key, text)
    if profile is not None:
        options.enable_profiling = True
        options.profile_file_prefix = str(profile)
    options.enable_cpu_mem_arena = arena
    if not prepack:
        options.add_session_config_entry("session.disable_prepacking", "1")
    source = model if isinstance(model, bytes) else str(model)
    try:
        return ort.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    except ORT_ERRORS as error:
        where = "model" if isinstance(model, bytes) else str(model)
        raise InputError(f"{where}: onnxruntime cannot load it: {one_line(error)}") from error


def _has_blocked_bytes(model: Path | bytes) -> bool:
    """Whether signed bytes are dequantized in blocks without zero points.

    Taken as unsigned ones, onnxruntime 1.31 gives them one zero point for all blocks, and then
    refuses to run them.
    """
    try:
        data = model if isinstance(model, bytes) else model.read_bytes()
        if b"block_size" not in data:
            return False
        graph = onnx.ModelProto.FromString(data).graph
    except (OSError, DecodeError):
        return False  # it says why when it cannot load it
    bytes_held = {t.name for t in graph.initializer if t.data_type == onnx.TensorProto.INT8}
    return any(
        node.op_type == "DequantizeLinear"
        and node.input[0] in bytes_held
        and not any(node.input[2:])
        and any(a.name == "block_size" and a.i > 0 for a in node.attribute)
        for node in graph.node
    )


def run_session(session: ort.InferenceSession, feeds: Mapping[str, Array]) -> dict[str, Array]:
    """Run a session and name its outputs.

    Raises:
        InputError: onnxruntime fails on these inputs.
    """
    names = [output.name for output in session.get_outputs()]
    try:
        values = session.run(names, dict(feeds))
    except ORT_ERRORS as error:
        raise InputError(f"onnxruntime failed: {one_line(error)}") from error
    return dict(zip(names, values, strict=True))


def input_ports(session: ort.InferenceSession) -> tuple[Port, ...]:
    """What the graph must be given.

    Raises:
        InputError: an input is not an array of numbers, or its shape is not static.
    """
    return tuple(_port(value, "input") for value in session.get_inputs())


def output_ports(session: ort.InferenceSession) -> tuple[Port, ...]:
    """What the graph gives.

    Raises:
        InputError: an output is not an array of numbers, or its shape is not static.
    """
    return tuple(_port(value, "output") for value in session.get_outputs())


def _port(value: Any, what: str) -> Port:  # noqa: ANN401  onnxruntime's NodeArg has no stub
    dtype = _NUMPY_TYPES.get(value.type)
    if dtype is None:
        raise InputError(f"{what} {value.name!r}: type {value.type} is no type of arrays")
    if not all(isinstance(extent, int) for extent in value.shape):
        raise InputError(f"{what} {value.name!r}: its shape is not static: {value.shape}")
    return Port(value.name, np.dtype(dtype), tuple(value.shape))


def check_inputs(ports: tuple[Port, ...], inputs: Mapping[str, Array]) -> dict[str, Array]:
    """The inputs as the graph wants them, in its order.

    A type is cast only where every value survives: int64 tokens to int32, float16 to float32,
    float64 that holds float32 values.

    Raises:
        InputError: a name is missing or unknown, a shape differs, a cast would change a value.
    """
    known = [port.name for port in ports]
    for name in inputs:
        if name not in known:
            raise InputError(f"input {name!r}: unknown; expected {', '.join(known) or 'none'}")
    feeds: dict[str, Array] = {}
    for port in ports:
        if port.name not in inputs:
            raise InputError(
                f"input {port.name!r}: missing; expected {port.dtype} {list(port.shape)}, "
                f"got only {', '.join(inputs) or 'none'}"
            )
        array = np.asarray(inputs[port.name])
        if array.shape != port.shape:
            raise InputError(
                f"input {port.name!r}: expected shape {list(port.shape)}, got {list(array.shape)}"
            )
        feeds[port.name] = np.require(_cast(array, port), requirements="C").reshape(port.shape)
    return feeds


def _cast(array: Array, port: Port) -> Array:
    if array.dtype == port.dtype:
        return array
    refusal = InputError(
        f"input {port.name!r}: expected {port.dtype}, got {array.dtype} "
        "with values that the cast would change"
    )
    if array.dtype.kind not in "biuf" or (array.dtype.kind == "b") != (port.dtype.kind == "b"):
        raise refusal
    with np.errstate(all="ignore"):
        cast = array.astype(port.dtype)
        kept = np.array_equal(
            cast.astype(array.dtype), array, equal_nan=array.dtype.kind == "f"
        ) and np.array_equal(np.signbit(cast), np.signbit(array))
    if not kept:
        raise refusal
    return cast


def one_line(error: BaseException) -> str:
    """The first line of a message."""
    lines = str(error).splitlines()
    return lines[0].strip() if lines else type(error).__name__
