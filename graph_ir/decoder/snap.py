"""Replaces measured numbers by those that the source says, where it says one that near."""

from collections.abc import Iterable

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

F64 = NDArray[np.float64]

_NEAR = 8e-6
# In multiples of the floats' precision, where that is coarser.
_NEAR_EPS = 2.0
_NEAR_SLOPE = 1e-4
_NEAR_CAP = 1e-3
_LARGEST = 4096


class Snap:
    """The constants of an attention.

    Args:
        graph: the attention cut out of its model.
        precision: of its floats.
    """

    def __init__(self, graph: ir.Graph, precision: float) -> None:
        self._near = max(_NEAR, _NEAR_EPS * precision)
        self._vectors: list[F64] = []
        for value in graph.initializers.values():
            tensor = value.const_value
            if tensor is None or tensor.size > _LARGEST or not tensor.dtype.is_floating_point():
                continue
            self._vectors.append(np.asarray(tensor.numpy(), np.float64).reshape(-1))
        self._numbers = [float(vector[0]) for vector in self._vectors if len(vector) == 1]
        self._numbers += [
            attribute.as_float()
            for node in graph
            for attribute in node.attributes.values()
            if attribute.type is ir.AttributeType.FLOAT
        ]

    def scale(self, measured: float, width: int) -> float:
        """A scale of products of queries and keys of some width."""
        known = [1.0, 1.0 / width, width**-0.5, width**-0.25]
        for number in self._numbers:
            if number > 0:
                known += [number, 1.0 / number, number * number, 1.0 / (number * number)]
        return _nearest(measured, known, self._near)

    def softcap(self, measured: float) -> float:
        """A soft cap."""
        known = [abs(number) for number in self._numbers if number]
        known += [1.0 / number for number in known]
        return _nearest(measured, known, max(self._near, _NEAR_CAP))

    def per_head(self, measured_H: F64, error_H: F64) -> F64:
        """One number for each head, measured with some error."""
        for vector in self._vectors:
            if len(vector) != len(measured_H):
                continue
            allowed_H = 4 * self._near * np.maximum(1.0, np.abs(vector)) + error_H
            if (np.abs(vector - measured_H) <= allowed_H).all():
                return vector
        return np.asarray(measured_H.astype(np.float32), np.float64)

    def slopes(self, measured_H: F64) -> F64:
        """ALiBi slopes, which matter more than they are measured: they meet long distances."""
        heads = len(measured_H)
        powers = 2.0 ** (-8.0 * np.arange(1, heads + 1) / heads)
        for vector in [*self._vectors, *(-vector for vector in self._vectors), powers]:
            near = max(_NEAR_SLOPE, self._near)
            if len(vector) == heads and np.allclose(vector, measured_H, rtol=near, atol=0):
                return vector
        return np.asarray(measured_H.astype(np.float32), np.float64)


def _nearest(measured: float, known: Iterable[float], near: float) -> float:
    single = float(np.float32(measured))
    best = min(known, key=lambda number: (abs(number - measured), number), default=single)
    return float(np.float32(best)) if abs(best - measured) <= near * abs(measured) else single
