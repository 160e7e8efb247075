"""Reads a protobuf file into a `ModelProto`: the outermost door for hostile bytes."""

import mmap
import stat
from pathlib import Path
from typing import BinaryIO

import onnx
from google.protobuf.message import DecodeError

from graph_ir.errors import InputError

OLDEST_OPSET = 9
NEWEST_OPSET = 25
# Protobuf cannot hold more; larger models keep their weights in external data.
MAXIMUM_FILE_BYTES = 2**31 - 1


def read_model_proto(path: Path) -> onnx.ModelProto:
    """Parses an ONNX file; external data is not touched.

    Args:
        path: of a binary ONNX file.

    Raises:
        InputError: not a readable file, not ONNX, or an opset outside the supported range.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise InputError(f"{path}: expected an ONNX file, got something that is not a file")
        if status.st_size > MAXIMUM_FILE_BYTES:
            raise InputError(
                f"{path}: {status.st_size} bytes, but a protobuf file holds at most "
                f"{MAXIMUM_FILE_BYTES}; store the weights as external data"
            )
        if status.st_size == 0:
            raise InputError(f"{path}: expected an ONNX model, got an empty file")
        with path.open("rb") as stream:
            return _parsed(path, stream)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    except ValueError as error:  # a NUL in the path
        raise InputError(f"{str(path)!r}: not a path: {error}") from error


def _parsed(path: Path, stream: BinaryIO) -> onnx.ModelProto:
    proto = onnx.ModelProto()
    try:
        # Mapped, so that the file is not in memory beside the message parsed from it.
        with (
            mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content,
            memoryview(content) as view,
        ):
            proto.ParseFromString(view)
    except DecodeError as error:
        raise InputError(f"{path}: not an ONNX model, or truncated (protobuf)") from error
    if not proto.HasField("graph") or not (proto.graph.node or proto.graph.output):
        raise InputError(f"{path}: not an ONNX model: it holds no graph")
    if not proto.graph.output:
        raise InputError(f"{path}: its graph has no outputs")
    if proto.ir_version > onnx.IR_VERSION:
        raise InputError(
            f"{path}: ONNX format version {proto.ir_version}, expected at most {onnx.IR_VERSION}"
        )
    _check_opset(path, proto)
    return proto


def _check_opset(path: Path, proto: onnx.ModelProto) -> None:
    versions: dict[str, int] = {}
    for opset in proto.opset_import:
        domain = "" if opset.domain == "ai.onnx" else opset.domain
        if domain in versions and versions[domain] != opset.version:
            raise InputError(f"{path}: opset of domain {domain!r} is declared twice")
        versions[domain] = opset.version
    if "" not in versions:
        raise InputError(f"{path}: no opset of the domain ai.onnx is declared")
    if not OLDEST_OPSET <= versions[""] <= NEWEST_OPSET:
        raise InputError(f"{path}: opset {versions['']}, expected {OLDEST_OPSET} to {NEWEST_OPSET}")
