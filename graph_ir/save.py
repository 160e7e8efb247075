"""Writes models beside one file of weights: the same input gives the same bytes.

Each tensor begins on a page, so that a runtime can map it. Tensors with the same bytes are stored
once, within a graph and between graphs.
"""

import hashlib
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import onnx
import onnx_ir as ir

from graph_ir.errors import InputError
from graph_ir.node_forms import static_shape

PAGE_BYTES = 4096
# Shapes, scalars and other small tensors stay in the model file.
INLINE_BYTES = 1024
_CHUNK_BYTES = 1 << 22


@dataclass(frozen=True, slots=True)
class _Stored:
    """Where a tensor is in the weights file."""

    tensor: ir.TensorProtocol
    offset: int


def save_model(
    model: ir.Model, folder: Path, name: str, weights_file: str = "weights.data"
) -> None:
    """Writes one model. See `save_models`."""
    save_models({name: model}, folder, weights_file)


def save_models(
    models: Mapping[str, ir.Model], folder: Path, weights_file: str = "weights.data"
) -> None:
    """Writes `<name>.onnx` for each model, and one file with the weights of all.

    Weights are laid out in order of first use by the nodes of the first model, then of the next.
    The models themselves are left as they are. Each file is complete before it takes its place.

    Args:
        models: by file name without its ending.
        folder: an existing folder.
        weights_file: file name of the weights.

    Raises:
        InputError: a file cannot be written.
    """
    layout: dict[bytes, _Stored] = {}
    placed: dict[str, dict[str, _Stored]] = {}
    end = 0
    for name, model in models.items():
        placed[name] = {}
        for value in _weights(model.graph):
            tensor = value.const_value
            assert tensor is not None
            digest = _digest(tensor)
            if digest not in layout:
                layout[digest] = _Stored(tensor, -(-end // PAGE_BYTES) * PAGE_BYTES)
                end = layout[digest].offset + tensor.nbytes
            placed[name][value.name or ""] = layout[digest]
    try:
        with _replacing(folder / weights_file) as stream:
            _write_weights(stream, layout)
        for name, model in models.items():
            with _replacing(folder / f"{name}.onnx") as stream:
                stream.write(_serialized(model, placed[name], weights_file))
    except OSError as error:
        raise InputError(
            f"{error.filename or folder}: cannot be written: {error.strerror}"
        ) from error


def _weights(graph: ir.Graph) -> Iterator[ir.Value]:
    """Initializers too large for the model file, in order of first use."""
    used = [value for node in graph for value in node.inputs if value is not None]
    seen: dict[ir.Value, None] = dict.fromkeys([*used, *graph.initializers.values()])
    for value in seen:
        tensor = value.const_value
        if tensor is None or not value.is_initializer() or tensor.dtype == ir.DataType.STRING:
            continue
        if tensor.nbytes > INLINE_BYTES:
            yield value


def _packed(tensor: ir.TensorProtocol) -> memoryview:
    """The bytes of a tensor as ONNX packs them; a mapped tensor is not copied."""
    if tensor.dtype.bitwidth < 8:
        return memoryview(tensor.tobytes())
    array = np.ascontiguousarray(tensor.numpy()).reshape(-1)
    return array.view(np.uint8).data


def _digest(tensor: ir.TensorProtocol) -> bytes:
    return hashlib.sha256(_packed(tensor)).digest()


def _write_weights(stream: BinaryIO, layout: Mapping[bytes, _Stored]) -> None:
    position = 0
    for stored in layout.values():
        stream.write(b"\0" * (stored.offset - position))
        packed = _packed(stored.tensor)
        for start in range(0, len(packed), _CHUNK_BYTES):
            stream.write(packed[start : start + _CHUNK_BYTES])
        position = stored.offset + len(packed)


def _serialized(model: ir.Model, placed: Mapping[str, _Stored], weights_file: str) -> bytes:
    """The model file's bytes, with references in the place of the weights that are placed."""
    initializers = model.graph.initializers
    tensors = {name: value.const_value for name, value in initializers.items()}
    try:
        for name, tensor in tensors.items():
            if name not in placed and isinstance(tensor, ir.ExternalTensor):
                # Small enough for the model file, but so far a reference to the source's data.
                copy = np.array(tensor.numpy())
                initializers[name].const_value = ir.Tensor(copy, dtype=tensor.dtype, name=name)
        for name, stored in placed.items():
            tensor = tensors[name]
            assert tensor is not None
            initializers[name].const_value = ir.ExternalTensor(
                weights_file,
                offset=stored.offset,
                length=tensor.nbytes,
                dtype=tensor.dtype,
                shape=ir.Shape(static_shape(tensor.shape)),
                name=name,
            )
        proto: onnx.ModelProto = ir.serde.serialize_model(model)
    finally:
        for name, tensor in tensors.items():
            initializers[name].const_value = tensor
    return bytes(proto.SerializeToString(deterministic=True))


@contextmanager
def _replacing(path: Path) -> Iterator[BinaryIO]:
    """A file that takes its place when it is complete; after an error there is no trace of it."""
    temporary = path.with_name(f"{path.name}.partial")
    try:
        with temporary.open("wb") as stream:
            yield stream
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
