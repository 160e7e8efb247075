"""Finds a transformer's residual stream, and which constants carry its channels.

The stream begins at the largest lookup table. From there every node that reads it is followed in
topological order by what it does to `x_.D @ Q` for an orthogonal Q, with D the width: it moves
rows, scales rows, takes norms that Q does not change, multiplies by constants that are folded
onward, ends in a matrix product, or adds what another branch has written. No pattern of a whole
norm is needed, so a norm may be one op or ten. (QuaRot, arXiv 2404.00456, section 4; SliceGPT,
arXiv 2401.15024, section 3.2, folds LayerNorm's centring into the writers, which is not needed
for a Q that leaves the vector of ones as it is.)
"""

from dataclasses import dataclass, field
from math import prod

import onnx_ir as ir

from graph_ir.compression.residual_stream_edits import (
    F64,
    Edit,
    Neutral,
    Offset,
    ResidualStream,
    Turn,
)
from graph_ir.compression.residual_stream_ops import (
    channels_of,
    float_constant,
    is_lookup,
    moves_rows,
    other_operand,
    reduced_axes,
    refusal,
    uniform,
    vector_of,
)
from graph_ir.compression.residual_stream_writers import trace_writer
from graph_ir.errors import InputError
from graph_ir.onnx_values import op_key, shape_of, value_name

_NORMS = {
    "LayerNormalization": True,
    "SimplifiedLayerNormalization": False,
    "RMSNormalization": False,
}
_ROW_REDUCTIONS = ("ReduceL2", "ReduceSumSquare")
_SCALED = (
    "reads a stream that a norm has scaled by channel; a rotation keeps the function only where "
    "matrix products alone read such norms"
)
_ELEMENTWISE_SUMS = ("Add", "Sub", "Sum")


@dataclass(frozen=True, slots=True)
class _State:
    """A value that is `(x_.D @ Q) * scale_D + offset_D`, with what the constants still say."""

    scale_D: F64 | None = None
    offset_D: F64 | None = None

    @property
    def is_plain(self) -> bool:
        return self.scale_D is None and self.offset_D is None


_PLAIN = _State()


def find_residual_stream(graph: ir.Graph) -> ResidualStream:
    """The stream of a decoder or encoder whose norms stand in front of products alone.

    Args:
        graph: static shapes, topological order, without functions.

    Raises:
        InputError: there is none, or a node that reads it is none of the above; it is named.
    """
    root = _root(graph)
    walk = _Walk(shape_of(root.outputs[0])[-1])
    walk.begin(root)
    for node in graph:
        walk.visit(node)
    if not walk.norms:
        raise refusal(root, "no norm reads what this lookup yields, so it is no residual stream")
    for value in graph.outputs:
        if value in walk.states:
            producer = value.producer()
            assert producer is not None
            raise refusal(producer, f"the stream is the graph's output {value_name(value)}")
    return walk.result()


def _root(graph: ir.Graph) -> ir.Node:
    """The lookup in the largest table of floats; the first of equals."""
    lookups = [node for node in graph if is_lookup(node)]
    if not lookups:
        raise InputError(
            "rotate: expected a Gather of rows of a constant table, which a residual stream "
            "begins with, got none"
        )
    return max(lookups, key=lambda node: prod(channels_of(node.inputs[0])))


@dataclass(slots=True)
class _Walk:
    """What has been found so far."""

    width: int
    states: dict[ir.Value, _State] = field(default_factory=dict)
    squares: set[ir.Value] = field(default_factory=set)
    edits: list[Edit] = field(default_factory=list)
    norms: int = 0
    keeps_ones: bool = False

    def result(self) -> ResidualStream:
        return ResidualStream(self.width, tuple(self.edits), self.norms, self.keeps_ones)

    def begin(self, root: ir.Node) -> None:
        self.edits.append(Turn(root, 0, axis=1))
        self.states[root.outputs[0]] = _PLAIN

    def visit(self, node: ir.Node) -> None:
        """One node, after all that it reads."""
        inputs = [value for value in node.inputs if value is not None]
        if any(value in self.squares for value in inputs):
            self._mean_of_squares(node)
            return
        read = [value for value in inputs if value in self.states]
        if not read:
            return
        op = op_key(node)
        if op in ("Shape", "Size"):
            return
        if op in _NORMS:
            self._norm(node, centred=_NORMS[op])
        elif op in ("MatMul", "Gemm"):
            self._product(node)
        elif op in _ELEMENTWISE_SUMS:
            self._sum(node)
        elif op in ("Mul", "Div"):
            self._scaled(node)
        elif op == "Pow":
            self._square(node)
        elif op in _ROW_REDUCTIONS:
            self._invariant(node, mean=False)
        elif op == "ReduceMean" and len(channels_of(node.inputs[0])) - 1 in reduced_axes(node):
            self._invariant(node, mean=True)
        elif op == "Concat":
            self._joined(node)
        elif moves_rows(node, self.width):
            state = self.states[read[0]]
            if op == "ReduceSum" and state.offset_D is not None:
                raise refusal(node, "sums rows with an offset that rotation would have to move")
            self.states.update((output, state) for output in node.outputs)
        else:
            raise refusal(node, "does not commute with a rotation of what it reads")

    def _plain_inputs(self, node: ir.Node, why: str) -> None:
        for value in node.inputs:
            if value is not None and not self.states.get(value, _PLAIN).is_plain:
                raise refusal(node, why)

    def _norm(self, node: ir.Node, *, centred: bool) -> None:
        """One op that normalizes rows; its scale and bias are constants of the channels."""
        self._plain_inputs(node, _SCALED)
        rank = len(channels_of(node.inputs[0]))
        if node.attributes.get_int("axis", -1) % rank != rank - 1:
            raise refusal(node, "normalizes over more than the channels")
        constants: list[F64 | None] = []
        for index in range(1, len(node.inputs)):
            value = node.inputs[index]
            constants.append(None if value is None else vector_of(value, self.width))
            if value is not None and constants[-1] is None:
                raise refusal(node, f"expected constants of {self.width} channels")
        scale_D, offset_D = (*constants, None, None)[:2]
        state = _PLAIN
        if scale_D is not None and not uniform(scale_D):
            self.edits.append(Neutral(node, 1, 1.0))
            state = _State(scale_D)
        if offset_D is not None and offset_D.any():
            if state.scale_D is None:
                self.edits.append(Turn(node, 2, axis=0))
            else:
                self.edits.append(Neutral(node, 2, 0.0))
                state = _State(scale_D, offset_D)
        self.keeps_ones |= centred
        self.norms += 1
        self.states[node.outputs[0]] = state

    def _square(self, node: ir.Node) -> None:
        self._plain_inputs(node, _SCALED)
        exponent = node.inputs[1]
        array = None if exponent is None else float_constant(exponent)
        if array is None or array[0].size != 1 or array[0].item() != 2:
            raise refusal(node, "does not commute with a rotation of what it reads")
        self.squares.add(node.outputs[0])

    def _mean_of_squares(self, node: ir.Node) -> None:
        rank = len(channels_of(node.inputs[0]))
        if op_key(node) not in ("ReduceMean", "ReduceSum") or reduced_axes(node) != (rank - 1,):
            raise refusal(node, "reads squares of the stream other than by their sum over channels")
        self.norms += 1

    def _invariant(self, node: ir.Node, *, mean: bool) -> None:
        self._plain_inputs(node, _SCALED)
        rank = len(channels_of(node.inputs[0]))
        if reduced_axes(node) != (rank - 1,):
            raise refusal(node, "reduces more than the channels")
        self.keeps_ones |= mean
        self.norms += not mean

    def _scaled(self, node: ir.Node) -> None:
        """Mul and Div: a square, a scale by row, or a constant by channel that is folded onward."""
        left, right = node.inputs[0], node.inputs[1]
        assert left is not None
        assert right is not None
        if left is right and op_key(node) == "Mul":
            self._plain_inputs(node, _SCALED)
            self.squares.add(node.outputs[0])
            return
        at = 0 if left in self.states else 1
        stream, factor = (left, right) if at == 0 else (right, left)
        state = self.states[stream]
        if factor in self.states or (at == 1 and op_key(node) == "Div"):
            raise refusal(node, "does not commute with a rotation of what it reads")
        factor_D = vector_of(factor, self.width)
        if factor_D is not None and not uniform(factor_D):
            factor_D = 1 / factor_D if op_key(node) == "Div" else factor_D
            scale_D = factor_D if state.scale_D is None else state.scale_D * factor_D
            offset_D = None if state.offset_D is None else state.offset_D * factor_D
            self.edits.append(Neutral(node, 1 - at, 1.0))
            self.states[node.outputs[0]] = _State(scale_D, offset_D)
            return
        by_row = (channels_of(factor) or (1,))[-1] == 1
        if not by_row and factor_D is None:
            raise refusal(node, "multiplies the channels by what is computed")
        if state.offset_D is not None:
            raise refusal(node, "scales an offset that rotation would have to move")
        self.states[node.outputs[0]] = state

    def _sum(self, node: ir.Node) -> None:
        """The residual addition, a bias, or a mean that is taken away."""
        states = [self.states[value] for value in node.inputs if value in self.states]
        if any(not state.is_plain for state in states):
            self._folded_offset(node, states)
            return
        for index, value in enumerate(node.inputs):
            assert value is not None
            if value in self.states:
                continue
            if (channels_of(value) or (1,))[-1] == 1:
                self.keeps_ones = True
            else:
                self.edits += trace_writer(node, index, self.width)
        self.states[node.outputs[0]] = _PLAIN

    def _folded_offset(self, node: ir.Node, states: list[_State]) -> None:
        index = other_operand(node, self.states)
        constant = None if index is None else node.inputs[index]
        offset_D = None if constant is None else vector_of(constant, self.width)
        if op_key(node) != "Add" or offset_D is None or index is None:
            raise refusal(node, _SCALED)
        (state,) = states
        self.edits.append(Neutral(node, index, 0.0))
        total_D = offset_D if state.offset_D is None else state.offset_D + offset_D
        self.states[node.outputs[0]] = _State(state.scale_D, total_D)

    def _joined(self, node: ir.Node) -> None:
        rank = len(channels_of(node.outputs[0]))
        if node.attributes.get_int("axis", 0) % rank == rank - 1:
            raise refusal(node, "joins the channels of the stream with others")
        self._plain_inputs(node, _SCALED)
        for index, value in enumerate(node.inputs):
            if value not in self.states:
                self.edits += trace_writer(node, index, self.width)
        self.states[node.outputs[0]] = _PLAIN

    def _product(self, node: ir.Node) -> None:
        """A reader: its weight takes the rotation and whatever scale stands in front of it."""
        left, weight = node.inputs[0], node.inputs[1]
        assert left is not None
        assert weight is not None
        transposed = bool(node.attributes.get_int("transB", 0))
        turned_left: int = node.attributes.get_int("transA", 0)
        if left not in self.states or weight in self.states or turned_left:
            raise refusal(node, "multiplies the stream with what is computed")
        constant = float_constant(weight)
        if constant is None or constant[0].ndim != 2:
            raise refusal(node, "expected a constant matrix of floats as its right factor")
        state = self.states[left]
        self.edits.append(Turn(node, 1, int(transposed), writes=False, scale_D=state.scale_D))
        if state.offset_D is not None:
            self.edits.append(Offset(node, state.offset_D))
