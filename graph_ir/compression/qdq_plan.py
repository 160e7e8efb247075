"""Which tensors become bytes in a statically quantized graph.

Convolutions read and write bytes. What lies between them and only moves, pools, adds or joins
bytes does so too, so that residual blocks stay bytes from one end to the other. Matrix products
read bytes and write floats: what follows them in a transformer is computed in floats, and the
residual stream is not rounded.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from graph_ir.compression.qdq import ActivationGrid, only_reader
from graph_ir.onnx_values import is_constant, op_key, value_name
from graph_ir.passes.rewiring import constant_array

# Results have the grid of the input: these move values, or pick some.
SAME_GRID = frozenset(
    {"MaxPool", "Reshape", "Flatten", "Transpose", "Squeeze", "Unsqueeze", "Slice", "Split"}
)
# Results have a grid of their own.
OWN_GRID = frozenset({"Add", "AveragePool", "Concat", "GlobalAveragePool", "Resize"})
# All inputs carry data, not only the first.
_SEVERAL = frozenset({"Add", "Concat"})
_CLAMPS = frozenset({"Relu", "Clip"})


@dataclass(frozen=True, slots=True)
class Clamp:
    """A Relu or Clip that the range of its result may make superfluous.

    Attributes:
        node: of the graph.
        low: smallest result.
        high: largest result.
    """

    node: ir.Node
    low: float
    high: float

    def is_implied_by(self, grid: ActivationGrid) -> bool:
        """Whether no value of the grid is beyond by more than its rounding."""
        half = grid.scale / 2
        return grid.lowest >= self.low - half and grid.highest <= self.high + half


@dataclass(frozen=True, slots=True)
class StaticPlan:
    """What is to be bytes.

    Attributes:
        everywhere: values that all of their readers take as bytes, in topological order.
        products: by input of matrix products that others read as floats, these products.
        grid_of: for every one of the values, the value whose range gives its grid.
        clamps: Relu and Clip behind an integer op, by their result.
    """

    everywhere: tuple[ir.Value, ...]
    products: dict[ir.Value, list[ir.Node]]
    grid_of: dict[ir.Value, ir.Value]
    clamps: dict[ir.Value, Clamp]

    @property
    def ranges(self) -> list[str]:
        """Names of the values whose ranges are needed, in order."""
        return list(dict.fromkeys(value_name(value) for value in self.grid_of.values()))


def plan_static(
    graph: ir.Graph, convolutions: Sequence[ir.Node], products: Sequence[ir.Node]
) -> StaticPlan:
    """Chooses the tensors.

    Args:
        graph: in topological order.
        convolutions: that will be integer ones.
        products: that will be integer ones.
    """
    chosen: dict[ir.Value, None] = {}
    clamps: dict[ir.Value, Clamp] = {}
    integer = set(convolutions)
    for node in convolutions:
        _choose(node.inputs[0], chosen)
    grid_of: dict[ir.Value, ir.Value] = {}
    for node in graph:
        key = op_key(node)
        if node in integer:
            _choose(_end(node.outputs[0], clamps), chosen)
        elif key in SAME_GRID or key in OWN_GRID:
            data = node.inputs if key in _SEVERAL else node.inputs[:1]
            if not all(value is not None and value in chosen for value in data):
                continue
            for result in node.outputs:
                if not _is_data(result):
                    continue
                if key in SAME_GRID:
                    source = data[0]
                    assert source is not None
                    grid_of[result] = grid_of.get(source, source)
                    _choose(result, chosen)
                else:
                    _choose(_end(result, clamps), chosen)
    beside: dict[ir.Value, list[ir.Node]] = {}
    for node in products:
        source = node.inputs[0]
        assert source is not None
        if source not in chosen:
            beside.setdefault(source, []).append(node)
    order = {value: at for at, value in enumerate(_values(graph))}
    everywhere = tuple(sorted(chosen, key=order.__getitem__))
    for value in (*everywhere, *beside):
        grid_of.setdefault(value, value)
    return StaticPlan(everywhere, beside, grid_of, clamps)


def _values(graph: ir.Graph) -> list[ir.Value]:
    return [*graph.inputs, *(value for node in graph for value in node.outputs)]


def _choose(value: ir.Value | None, chosen: dict[ir.Value, None]) -> None:
    if value is not None and _is_data(value):
        chosen[value] = None


def _is_data(value: ir.Value) -> bool:
    return (
        value.dtype is ir.DataType.FLOAT
        and not is_constant(value)
        and bool(value.uses() or value.is_graph_output())
    )


def _end(result: ir.Value, clamps: dict[ir.Value, Clamp]) -> ir.Value:
    """The result behind the Relu or Clip that alone reads it."""
    reader = only_reader(result)
    if reader is None or op_key(reader) not in _CLAMPS:
        return result
    clamp = _clamp(reader)
    if clamp is None:
        return result
    clamps[reader.outputs[0]] = clamp
    return reader.outputs[0]


def _clamp(node: ir.Node) -> Clamp | None:
    if op_key(node) == "Relu":
        return Clamp(node, 0.0, float("inf"))
    bounds = [-float("inf"), float("inf")]
    for at, name in enumerate(("min", "max")):
        attribute = node.attributes.get(name)
        if attribute is not None:
            bounds[at] = attribute.as_float()
        elif len(node.inputs) > at + 1 and node.inputs[at + 1] is not None:
            array = constant_array(node.inputs[at + 1])
            if array is None or array.size != 1:
                return None
            bounds[at] = float(np.asarray(array, np.float64).reshape(-1)[0])
    return Clamp(node, bounds[0], bounds[1])
