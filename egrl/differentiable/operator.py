"""A node as its function in torch sees it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import onnx_ir as ir
from torch import Tensor

from graph_ir.errors import InputError
from graph_ir.onnx_values import node_name, op_key

Operands = Sequence[Tensor | None]
"""Inputs of a node; None where an optional one is left out."""


@dataclass(frozen=True, slots=True, eq=False)
class Operator:
    """What a function in torch may ask about its node.

    Attributes:
        name: of the node.
        kind: its operator, as in the table of functions.
        version: of the operator's opset.
        outputs: how many it has.
        attributes: as plain Python values.
    """

    name: str
    kind: str
    version: int
    outputs: int
    attributes: Mapping[str, object]

    def integer(self, key: str, default: int) -> int:
        """An integer attribute."""
        value = self.attributes.get(key, default)
        assert isinstance(value, int), key
        return value

    def number(self, key: str, default: float) -> float:
        """A float attribute."""
        value = self.attributes.get(key, default)
        assert isinstance(value, int | float), key
        return float(value)

    def integers(self, key: str) -> tuple[int, ...] | None:
        """A list of integers; None where the attribute is left out."""
        value = self.attributes.get(key)
        if value is None:
            return None
        assert isinstance(value, list | tuple), key
        return tuple(int(element) for element in value)

    def text(self, key: str, default: str) -> str:
        """A string attribute."""
        value = self.attributes.get(key, default)
        assert isinstance(value, str), key
        return value

    def fail(self, reason: str) -> InputError:
        """An error about this node."""
        return InputError(f"node {self.name}: {reason}")


Function = Callable[[Operator, Operands], tuple[Tensor, ...]]


def operator_of(node: ir.Node, opsets: Mapping[str, int]) -> Operator:
    """A node of a graph, its opset taken from what the model imports."""
    version = node.version if node.version is not None else opsets.get(node.domain, 1)
    attributes: dict[str, object] = {
        key: attribute.value.numpy() if attribute.type == ir.AttributeType.TENSOR else _plain(value)
        for key, attribute in node.attributes.items()
        if (value := attribute.value) is not None
    }
    return Operator(node_name(node), op_key(node), version, len(node.outputs), attributes)


def _plain(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value


def needed(operands: Operands, position: int) -> Tensor:
    """An input that the operator cannot do without."""
    operand = operands[position]
    assert operand is not None, position
    return operand


def optional(operands: Operands, position: int) -> Tensor | None:
    """An input that may be left out."""
    return operands[position] if position < len(operands) else None


def integers_of(tensor: Tensor | None) -> tuple[int, ...] | None:
    """The elements of a tensor that says a shape, axes or positions."""
    return None if tensor is None else tuple(int(element) for element in tensor.reshape(-1))
