"""Reads an ONNX model: checked, inlined, with static shapes and its constants folded."""

import hashlib
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import onnx
import onnx_ir as ir
from onnx_ir.passes import common

from graph_ir.checks import check_proto
from graph_ir.dims import bind_dims
from graph_ir.errors import InputError
from graph_ir.functions import inline_functions
from graph_ir.model import Model
from graph_ir.naming import name_everything
from graph_ir.proto_file import read_model_proto
from graph_ir.sparse import densify
from graph_ir.static_shapes import make_static
from graph_ir.text import reason_of

# What is worth saying about a file is said by an exception; onnx_ir's own warnings go nowhere.
logging.getLogger("onnx_ir").addHandler(logging.NullHandler())

_NO_DIMS: Mapping[str, int] = MappingProxyType({})
# From here on initializers need not be graph inputs.
_OLDEST_IR_VERSION = 4
_CHUNK_BYTES = 1 << 22


def load_model(path: str | Path, dims: Mapping[str, int] = _NO_DIMS) -> Model:
    """Loads a model and makes it static.

    Functions of the model are inlined, initializers are taken out of the inputs, branches whose
    condition is constant are taken, everything constant is folded, unused nodes go. Weights in
    external data stay memory-mapped.

    Args:
        path: of an ONNX file, opset 9 to 25.
        dims: values of symbolic input dimensions.

    Raises:
        InputError: the file is damaged or hostile, an operator is unknown, or a shape is not
            static; one line that names the file and the node.
    """
    source = Path(path)
    model, digest = open_graph(source)
    graph = model.graph
    bind_dims(graph, dims, str(source))
    make_static(graph, model.opset_imports, str(source))
    common.RemoveUnusedNodesPass()(model)
    common.RemoveUnusedOpsetsPass()(model)
    name_everything(graph)
    model.ir_version = max(model.ir_version, _OLDEST_IR_VERSION)
    return Model(model, str(source), digest)


def open_graph(source: Path) -> tuple[ir.Model, str]:
    """Reads a model as it is, with symbolic extents: checked, functions inlined, sorted.

    Args:
        source: of an ONNX file, opset 9 to 25.

    Returns:
        The model, and the hex digest over the file and its external data files.

    Raises:
        InputError: the file is damaged or hostile.
    """
    proto = read_model_proto(source)
    data_files = check_proto(proto, source)
    digest = file_digest(source, data_files)
    densify(proto.graph, str(source))
    model = _deserialize(proto, source)
    inline_functions(model, str(source))
    # onnxruntime does not ask for its own domain to be declared.
    model.graph.opset_imports.setdefault("com.microsoft", 1)
    common.RemoveInitializersFromInputsPass()(model)
    common.RemoveUnusedNodesPass()(model)
    model.graph.sort()
    return model, digest


def _deserialize(proto: onnx.ModelProto, source: Path) -> ir.Model:
    if not proto.graph.name:
        proto.graph.name = "main"
    del proto.graph.value_info[:]  # inferred again: exporters leave wrong ones behind
    try:
        model = ir.serde.deserialize_model(proto)
    except (ir.serde.SerdeError, ValueError, TypeError, NotImplementedError) as error:
        cause: Exception = error
        while cause.__cause__ is not None and isinstance(cause.__cause__, Exception):
            cause = cause.__cause__
        raise InputError(f"{source}: not a valid ONNX model: {reason_of(cause)}") from error
    return model


def file_digest(source: Path, data_files: Sequence[Path]) -> str:
    """SHA-256 over the file, then over each data file's name and digest."""
    digest = hashlib.sha256(_file_digest(source))
    for path in sorted(data_files):
        digest.update(path.name.encode() + b"\0" + _file_digest(path))
    return digest.hexdigest()


def _file_digest(path: Path) -> bytes:
    digest = hashlib.sha256()
    try:
        with path.open("rb") as stream:
            while chunk := stream.read(_CHUNK_BYTES):
                digest.update(chunk)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    return digest.digest()
