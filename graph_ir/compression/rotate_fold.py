"""Folds a rotation of the residual stream into the constants around it."""

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from graph_ir.compression.residual_stream_edits import F64, Offset, ResidualStream, Turn
from graph_ir.compression.residual_stream_ops import float_constant, vector_of
from graph_ir.compression.rotate_matrix import Rotation
from graph_ir.onnx_values import op_key, shape_of
from graph_ir.passes.rewiring import add_constant, unused_name

# Rows that are turned at once: float64 copies of a whole vocabulary would be large.
_ROWS = 4096


def fold_rotation(graph: ir.Graph, stream: ResidualStream, rotation: Rotation) -> int:
    """Rotates the stream; the graph's function stays, up to rounding.

    Args:
        graph: that the stream was found in; changed in place.
        stream: what to change.
        rotation: of its width; maps ones to ones where the stream says so.

    Returns:
        How many constants changed.
    """
    fold = _Fold(graph, rotation)
    # How a library splits its sums among threads would change the last bit.
    with threadpool_limits(1, user_api="blas"):
        biases = [fold.bias_of(offset, stream.turns) for offset in stream.offsets]
        for turn in stream.turns:
            fold.turn(turn)
    for offset, bias_N in zip(stream.offsets, biases, strict=True):
        fold.add_bias(offset.node, bias_N)
    for neutral in stream.neutrals:
        old = _operand(neutral.node, neutral.index)
        filled = np.full_like(_array(old), neutral.fill)
        fold.replace(neutral.node, neutral.index, "folded", filled)
    fold.drop_unused()
    return len(stream.edits)


class _Fold:
    """The constants that were replaced, so that equal ones are made once."""

    def __init__(self, graph: ir.Graph, rotation: Rotation) -> None:
        self._graph = graph
        self._rotation = rotation
        self._turned: dict[tuple[ir.Value, int, bytes], ir.Value] = {}
        self._replaced: dict[str, ir.Value] = {}

    def turn(self, turn: Turn) -> None:
        old = _operand(turn.node, turn.index)
        scale = b"" if turn.scale_D is None else turn.scale_D.tobytes()
        key = (old, turn.axis, scale)
        if key in self._turned:
            self._wire(turn.node, turn.index, self._turned[key])
            return
        turned = turned_constant(_array(old), turn.axis, turn.scale_D, self._rotation)
        self._turned[key] = self.replace(turn.node, turn.index, "rotated", turned)

    def bias_of(self, offset: Offset, turns: Sequence[Turn]) -> F64:
        """What a product's output gains by an offset of its input, in the channels it then has."""
        array = _array(_operand(offset.node, 1)).astype(np.float64)
        weight_KN = array.T if offset.node.attributes.get_int("transB", 0) else array
        bias_N: F64 = offset.offset_D @ weight_KN
        for turn in turns:
            if turn.node is offset.node and turn.index == 1 and turn.writes:
                turned = turned_constant(bias_N, 0, turn.scale_D, self._rotation)
                bias_N = turned.astype(np.float64)
        return bias_N * offset.node.attributes.get_float("alpha", 1.0)

    def add_bias(self, node: ir.Node, bias_N: F64) -> None:
        """Adds to a product's output, in the constant that is added there if there is one."""
        place = _bias_behind(node, len(bias_N))
        if place is None:
            self._add_behind(node, bias_N)
            return
        adder, index = place
        old = _array(_operand(adder, index))
        factor = 1.0 if adder is not node else node.attributes.get_float("beta", 1.0)
        total = (old.astype(np.float64) + bias_N / factor).astype(old.dtype)
        self.replace(adder, index, "rotated", total)

    def _add_behind(self, node: ir.Node, bias_N: F64) -> None:
        output = node.outputs[0]
        assert output.dtype is not None
        name = output.name or ""
        constant = add_constant(self._graph, f"{name}.bias", bias_N.astype(output.dtype.numpy()))
        adder = ir.node("Add", [output, constant], name=f"{name}/bias")
        total = adder.outputs[0]
        total.shape, total.type = output.shape, output.type
        total.name = unused_name(self._graph, f"{name}.biased")
        self._graph.insert_after(node, adder)
        output.replace_all_uses_with(total, replace_graph_outputs=True)
        adder.replace_input_with(0, output)
        if total.is_graph_output():
            output.name = total.name
            total.name = name

    def replace(
        self, node: ir.Node, index: int, suffix: str, array: NDArray[np.generic]
    ) -> ir.Value:
        """Gives a node a constant of its own."""
        old = _operand(node, index)
        stem = (old.name or "constant").removesuffix(f".{suffix}")
        new = add_constant(self._graph, f"{stem}.{suffix}", array)
        self._wire(node, index, new)
        return new

    def _wire(self, node: ir.Node, index: int, new: ir.Value) -> None:
        old = _operand(node, index)
        self._replaced[old.name or ""] = old
        node.replace_input_with(index, new)

    def drop_unused(self) -> None:
        """Removes constants that nothing reads any more."""
        for name, value in self._replaced.items():
            if value.is_initializer() and not value.uses() and not value.is_graph_output():
                del self._graph.initializers[name]


def turned_constant(
    array: NDArray[np.generic], axis: int, scale_D: F64 | None, rotation: Rotation
) -> NDArray[np.generic]:
    """`(constant * scale_D) @ Q` along one axis, computed in float64, of the constant's type."""
    width = rotation.width
    if array.ndim == 0:
        array = array.reshape(1)
    if array.shape[axis] == 1:
        array = np.repeat(array, width, axis=axis)
    last = np.moveaxis(array, axis, -1)
    rows = last.reshape(-1, width)
    turned = np.empty(rows.shape, array.dtype)
    for start in range(0, len(rows), _ROWS):
        part = rows[start : start + _ROWS].astype(np.float64)
        if scale_D is not None:
            part *= scale_D
        turned[start : start + _ROWS] = rotation.apply(part).astype(array.dtype)
    return np.ascontiguousarray(np.moveaxis(turned.reshape(last.shape), -1, axis))


def _operand(node: ir.Node, index: int) -> ir.Value:
    value = node.inputs[index]
    assert value is not None
    return value


def _array(value: ir.Value) -> NDArray[np.generic]:
    constant = float_constant(value)
    assert constant is not None
    return constant[0]


def _bias_behind(node: ir.Node, columns: int) -> tuple[ir.Node, int] | None:
    """Where a constant bias is added to a product's output and nothing else reads the output."""
    if op_key(node) == "Gemm" and len(node.inputs) > 2 and node.inputs[2] is not None:
        factor: float = node.attributes.get_float("beta", 1.0)
        return (node, 2) if factor and vector_of(node.inputs[2], columns) is not None else None
    uses = node.outputs[0].uses()
    if len(uses) != 1 or node.outputs[0].is_graph_output():
        return None
    (adder, at) = next(iter(uses))
    if op_key(adder) != "Add":
        return None
    other = adder.inputs[1 - at]
    is_vector = other is not None and vector_of(other, columns) is not None
    return (
        (adder, 1 - at)
        if is_vector and shape_of(adder.outputs[0]) == shape_of(node.outputs[0])
        else None
    )
