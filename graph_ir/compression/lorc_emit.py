"""Writes a low-rank correction into the graph, beside the quantized product."""

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from graph_ir.compression.addition import add_beside
from graph_ir.compression.emit import packed_constant
from graph_ir.compression.grid import F32
from graph_ir.onnx_values import node_name
from graph_ir.passes.rewiring import add_constant, graph_of, unused_name

STORES = ("int8", "fp16")


def emit_factors(node: ir.Node, a_Kr: F32, b_rN: F32, store: str) -> int:
    """Adds `(x A) B` to a product `x W`, behind its bias where one is added.

    The product keeps the form that onnxruntime fuses.

    Args:
        node: MatMul or Gemm without transA.
        a_Kr: A.
        b_rN: B.
        store: of `STORES`.

    Returns:
        Bits that the factors take, with scales.
    """
    name, x = node_name(node), node.inputs[0]
    assert x is not None
    down, up, bits = _stored(node, f"{name}.lorc", a_Kr, b_rN, store)
    thin = ir.node("MatMul", [x, down], name=f"{name}/lorc_down")
    wide = ir.node("MatMul", [thin.outputs[0], up], name=f"{name}/lorc_up")
    add_beside(node, [thin, wide], a_Kr.shape[1], f"{name}/lorc")
    return bits


def _stored(
    before: ir.Node, stem: str, a_Kr: F32, b_rN: F32, store: str
) -> tuple[ir.Value, ir.Value, int]:
    """The float32 values of both factors, kept small, and their bits.

    Widened by Cast and Mul, which onnxruntime folds when it loads the model: a DequantizeLinear
    it would keep, and its rewriting of one with scales along an axis fails on some CPUs.
    """
    graph = graph_of(before)
    if store == "fp16":
        down = _widened(before, f"{stem}.down", a_Kr.astype(np.float16), ir.DataType.FLOAT16)
        up = _widened(before, f"{stem}.up", b_rN.astype(np.float16), ir.DataType.FLOAT16)
        return down, up, 16 * (a_Kr.size + b_rN.size)
    a_levels, a_scale_r = _as_int8(a_Kr.T)
    b_levels, b_scale_r = _as_int8(b_rN)
    down = _widened(before, f"{stem}.down", np.ascontiguousarray(a_levels.T), ir.DataType.INT8)
    levels = _widened(before, f"{stem}.up", b_levels, ir.DataType.INT8)
    # A scale for each of the rank: that of the other factor is the same number's.
    scale = add_constant(graph, f"{stem}.scale", (a_scale_r * b_scale_r)[:, None])
    scaled = ir.node("Mul", [levels, scale], name=f"{stem}.up/scale")
    _described(graph, scaled, f"{stem}.up.float", b_rN.shape)
    graph.insert_before(before, scaled)
    return down, scaled.outputs[0], 8 * (a_Kr.size + b_rN.size) + 32 * len(a_scale_r)


def _widened(
    before: ir.Node, stem: str, array: NDArray[np.generic], dtype: ir.DataType
) -> ir.Value:
    graph = graph_of(before)
    small = packed_constant(graph, stem, array, dtype)
    node = ir.node("Cast", [small], {"to": ir.DataType.FLOAT}, name=f"{stem}/cast")
    _described(graph, node, f"{stem}.wide", array.shape)
    graph.insert_before(before, node)
    return node.outputs[0]


def _described(graph: ir.Graph, node: ir.Node, stem: str, shape: tuple[int, ...]) -> None:
    value = node.outputs[0]
    value.name = unused_name(graph, stem)
    value.shape, value.type = ir.Shape(shape), ir.TensorType(ir.DataType.FLOAT)


def _as_int8(rows_rN: F32) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Integers, and a scale by row."""
    largest_r = np.abs(rows_rN).max(axis=1)
    scale_r = np.where(largest_r > 0, largest_r / 127, 1).astype(np.float32)
    levels = np.clip(np.rint(rows_rN / scale_r[:, None]), -127, 127)
    return levels.astype(np.int8), scale_r
