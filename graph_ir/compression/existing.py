"""Weights that are bytes already, behind arithmetic that folding turned into floats.

Exporters write int8 weights as `Cast -> Mul(scale)`; loading folds that into a float constant four
times as large. Where every entry of a column (of a table: of a row) is exactly a whole number of
one float32 scale, the integers are found again and stored, with no error at all.
"""

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from graph_ir.compression.embedding import Table, lookups_of
from graph_ir.compression.gemm import normalize
from graph_ir.compression.grid import F32, I8
from graph_ir.compression.packing import drop_unused, named_node, packed_constant
from graph_ir.compression.sites import Site
from graph_ir.onnx_values import value_name
from graph_ir.passes.rewiring import graph_of

BITS = 8
SCALE_BITS = 32
# Quantizers divide by 127, or by 128 where the extreme is negative.
_LARGEST_LEVELS = (127, 128)
# How far the scale may be from extreme / level after rounding to float32, in units in last place.
_NEAR = (0, 1, -1, 2, -2)
# Of each column: most weights are refused after these.
_SAMPLE_ROWS = 16


@dataclass(frozen=True, slots=True)
class Bytes:
    """A weight `[K, N]` that is exactly `levels * scale`.

    Attributes:
        levels_KN: integers.
        scale_N: float32.
    """

    levels_KN: I8
    scale_N: NDArray[np.float32]

    @property
    def stored_bits(self) -> int:
        """Bits with scales."""
        return self.levels_KN.size * BITS + self.scale_N.size * SCALE_BITS


def as_bytes(weight_KN: F32) -> Bytes | None:
    """The integers of a weight whose columns are whole numbers of a scale; None for any other."""
    extreme_N = np.abs(weight_KN).max(axis=0)
    whole = np.float32(extreme_N.max())
    if whole == 0:
        return None
    for largest in _LARGEST_LEVELS:
        for scale_N in (extreme_N / np.float32(largest), np.full_like(extreme_N, whole / largest)):
            found = _on(weight_KN, scale_N.astype(np.float32))
            if found is not None:
                return found
    return None


def _on(weight_KN: F32, scale_N: NDArray[np.float32]) -> Bytes | None:
    """The weight on these scales, or on ones that differ from them by rounding."""
    usable_N = np.where(scale_N > 0, scale_N, np.float32(1))
    best_N = usable_N.copy()
    exact_N = np.zeros(len(scale_N), np.bool_)
    sample = weight_KN[:_SAMPLE_ROWS]
    for steps in _NEAR:
        near_N = _moved(usable_N, steps)
        if not _matches(sample, near_N).any():
            continue
        now_N = _matches(weight_KN, near_N) & ~exact_N
        best_N[now_N] = near_N[now_N]
        exact_N |= now_N
        if exact_N.all():
            return Bytes(_levels(weight_KN, best_N).astype(np.int8), best_N)
    return None


def _matches(weight_KN: F32, scale_N: NDArray[np.float32]) -> NDArray[np.bool_]:
    levels_KN = _levels(weight_KN, scale_N)
    fits_N = (np.abs(levels_KN) <= 127).all(axis=0)
    same_N: NDArray[np.bool_] = (levels_KN * scale_N == weight_KN).all(axis=0)
    return same_N & fits_N


def _levels(weight_KN: F32, scale_N: NDArray[np.float32]) -> F32:
    levels_KN: F32 = np.rint(weight_KN / scale_N)
    return levels_KN


def _moved(value_N: NDArray[np.float32], steps: int) -> NDArray[np.float32]:
    """The float32 numbers some places above or below positive ones."""
    moved: NDArray[np.float32] = (value_N.view(np.int32) + np.int32(steps)).view(np.float32)
    return moved


def emit_bytes(site: Site, weight: Bytes) -> None:
    """Puts integers with a scale a column in the place of a site's weight.

    Args:
        site: without tables, of a graph of opset 21 or later; changed in place.
        weight: of its extents.
    """
    graph, stem = graph_of(site.node), value_name(site.weight)
    for node in (site.node, *site.shared):
        normalize(node, site.columns, site.transposed)
        inputs = [
            packed_constant(graph, f"{stem}.q", weight.levels_KN, ir.DataType.INT8),
            packed_constant(graph, f"{stem}.scale", weight.scale_N, ir.DataType.FLOAT),
            # Without zero points, onnxruntime refuses what it makes of signed bytes on old CPUs.
            packed_constant(
                graph, f"{stem}.zero", np.zeros_like(weight.scale_N, np.int8), ir.DataType.INT8
            ),
        ]
        whole = named_node(
            graph,
            "DequantizeLinear",
            inputs,
            {"axis": 1},
            f"{stem}.dequantized",
            weight.levels_KN.shape,
            ir.DataType.FLOAT,
        )
        graph.insert_before(node, whole)
        node.replace_input_with(1, whole.outputs[0])
    drop_unused(graph, site.weight)


def emit_byte_table(table: Table, weight: Bytes) -> None:
    """Puts integers with a scale a row in the place of a table.

    Args:
        table: of a graph of opset 21 or later; changed in place.
        weight: of `weight_KN`, whose columns are the table's rows.
    """
    graph, stem = graph_of(table.nodes[0]), value_name(table.weight)
    rows = np.ascontiguousarray(weight.levels_KN.T)
    levels = packed_constant(graph, f"{stem}.q", rows, ir.DataType.INT8)
    scale = packed_constant(graph, f"{stem}.scale", weight.scale_N[:, None], ir.DataType.FLOAT)
    for node in table.nodes:
        lookups_of(graph, node, levels, scale, None, rows.shape[1], rows.shape[1])
    drop_unused(graph, table.weight)
