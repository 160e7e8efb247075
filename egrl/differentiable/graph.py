"""A static ONNX graph, or a part of it, run in torch.

Gradients reach whatever tensor is put in the place of a value or of one use of it. Constants are
views of the model's own memory.
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray
from torch import Tensor

from egrl.differentiable.operator import Operands, Operator, operator_of
from egrl.differentiable.registry import FUNCTIONS
from egrl.differentiable.types import as_tensor
from graph_ir.errors import InputError
from graph_ir.onnx_values import is_constant, node_name, op_key, value_name

Use = tuple[ir.Node, int]
"""One use of a value: the node that reads it, and at which input."""

NO_USES: Mapping[Use, Tensor] = {}


class TorchGraph:
    """Runs a graph's nodes in their order; see `run`."""

    def __init__(self, graph: ir.Graph) -> None:
        """Args: a static graph in topological order, which must not change afterwards.

        Raises:
            InputError: an operator that has no function here.
        """
        self._nodes: dict[ir.Node, int] = {node: at for at, node in enumerate(graph)}
        self._operators: dict[ir.Node, Operator] = {}
        self._constants: dict[ir.Value, Tensor] = {}
        for node in self._nodes:
            if op_key(node) == "Constant":
                continue
            if op_key(node) not in FUNCTIONS:
                raise InputError(
                    f"node {node_name(node)}: {op_key(node)} has no gradient here; choose a "
                    "method that needs none"
                )
            self._operators[node] = operator_of(node, graph.opset_imports)
        self._plans: dict[tuple[frozenset[ir.Value], tuple[ir.Value, ...]], tuple[_Step, ...]] = {}

    def run(
        self,
        given: Mapping[ir.Value, Tensor],
        wanted: Sequence[ir.Value],
        uses: Mapping[Use, Tensor] = NO_USES,
    ) -> list[Tensor]:
        """Values of the graph, computed from others.

        Only what lies between is computed, and each value is forgotten after its last use.

        Args:
            given: inputs, or any values in the place of what the graph computes for them.
            wanted: what to compute.
            uses: tensors that single nodes read in the place of their inputs.

        Raises:
            InputError: an input is needed and not given; an operator in a form not known here.
        """
        values = dict(given)
        for step in self._plan(frozenset(given), tuple(wanted)):
            operands: Operands = [
                uses[(step.node, at)] if (step.node, at) in uses else self._read(values, value)
                for at, value in enumerate(step.node.inputs)
            ]
            operator = self._operators[step.node]
            results = FUNCTIONS[operator.kind](operator, operands)
            for value, result in zip(step.node.outputs, results, strict=False):
                values.setdefault(value, result)
            for value in step.dead:
                values.pop(value, None)
        found = [self._read(values, value) for value in wanted]
        assert all(tensor is not None for tensor in found)
        return [tensor for tensor in found if tensor is not None]

    def operator(self, node: ir.Node) -> Operator:
        """A node as its function sees it."""
        return self._operators[node]

    def _read(self, values: Mapping[ir.Value, Tensor], value: ir.Value | None) -> Tensor | None:
        if value is None:
            return None
        if value in values:
            return values[value]
        if value not in self._constants:
            self._constants[value] = as_tensor(constant_of(value))
        return self._constants[value]

    def _plan(
        self, given: frozenset[ir.Value], wanted: tuple[ir.Value, ...]
    ) -> tuple["_Step", ...]:
        key = (given, wanted)
        if key not in self._plans:
            self._plans[key] = _steps(self._between(given, wanted), given, wanted)
        return self._plans[key]

    def _between(self, given: frozenset[ir.Value], wanted: tuple[ir.Value, ...]) -> list[ir.Node]:
        """The nodes to run, in the graph's order."""
        found: set[ir.Node] = set()
        pending = [value for value in wanted if value not in given]
        while pending:
            value = pending.pop()
            node = value.producer()
            if node is None or op_key(node) == "Constant":
                if not is_constant(value):
                    raise InputError(f"input {value_name(value)}: expected a tensor, got none")
                continue
            if node in found:
                continue
            found.add(node)
            pending += [v for v in node.inputs if v is not None and v not in given]
        return sorted(found, key=self._nodes.__getitem__)


class _Step:
    """A node and the values that nothing reads after it."""

    __slots__ = ("dead", "node")

    def __init__(self, node: ir.Node, dead: tuple[ir.Value, ...]) -> None:
        self.node = node
        self.dead = dead


def _steps(
    nodes: Sequence[ir.Node], given: Iterable[ir.Value], wanted: tuple[ir.Value, ...]
) -> tuple[_Step, ...]:
    kept = {*given, *wanted}
    last: dict[ir.Value, ir.Node] = {}
    for node in nodes:
        for value in (*node.inputs, *node.outputs):
            if value is not None and value not in kept and not is_constant(value):
                last[value] = node
    dead: dict[ir.Node, list[ir.Value]] = {node: [] for node in nodes}
    for value, node in last.items():
        dead[node].append(value)
    return tuple(_Step(node, tuple(dead[node])) for node in nodes)


def constant_of(value: ir.Value) -> NDArray[np.generic]:
    """The array of an initializer or of a Constant node."""
    tensor = ir.convenience.get_const_tensor(value)
    if tensor is None:
        raise InputError(f"value {value_name(value)}: expected a constant, got none")
    return tensor.numpy()
