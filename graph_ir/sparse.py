"""Sparse initializers become dense ones, as onnxruntime makes them when it loads a model."""

from math import prod

import numpy as np
import onnx
from onnx import numpy_helper

from graph_ir.errors import InputError
from graph_ir.tensor_checks import check_inline_tensor
from graph_ir.text import quoted

_MAXIMUM_DENSE_BYTES = 2 * 1024**3


def densify(graph: onnx.GraphProto, source: str) -> None:
    """Replaces the sparse initializers of a graph, in place.

    Raises:
        InputError: indices out of range, sizes that do not match, or too large when dense.
    """
    for sparse in graph.sparse_initializer:
        where = f"{source}: sparse tensor {quoted(sparse.values.name)}"
        for tensor in (sparse.values, sparse.indices):
            if tensor.data_location == onnx.TensorProto.EXTERNAL:
                raise InputError(f"{where}: expected its data in the model file")
            check_inline_tensor(where, tensor)
        if sparse.values.data_type == onnx.TensorProto.STRING or len(sparse.values.dims) != 1:
            raise InputError(f"{where}: expected a list of numbers")
        graph.initializer.append(_dense(sparse, where))
    del graph.sparse_initializer[:]


def _dense(sparse: onnx.SparseTensorProto, where: str) -> onnx.TensorProto:
    values = numpy_helper.to_array(sparse.values)
    shape = tuple(sparse.dims)
    if min(shape, default=1) < 0 or prod(shape) * values.itemsize > _MAXIMUM_DENSE_BYTES:
        raise InputError(f"{where}: its shape {list(shape)} is negative or too large when dense")
    indices = numpy_helper.to_array(sparse.indices).astype(np.int64)
    if indices.ndim == 1:
        flat = indices
    elif indices.ndim == 2 and indices.shape[1] == len(shape):
        if ((indices < 0) | (indices >= np.array(shape))).any():
            raise InputError(f"{where}: an index is outside {list(shape)}")
        flat = np.ravel_multi_index(tuple(indices.T), shape)
    else:
        raise InputError(f"{where}: indices of shape {list(indices.shape)} do not fit")
    if len(flat) != len(values) or ((flat < 0) | (flat >= prod(shape))).any():
        raise InputError(f"{where}: {len(values)} values do not fit {len(flat)} indices")
    dense = np.zeros(prod(shape), dtype=values.dtype)
    dense[flat] = values
    tensor: onnx.TensorProto = numpy_helper.from_array(dense.reshape(shape), sparse.values.name)
    return tensor
