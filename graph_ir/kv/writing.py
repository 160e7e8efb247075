"""A short way to write nodes, for bodies of functions and for graphs alike."""

from collections.abc import Mapping, Sequence

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

Attributes = Mapping[str, int | float | str | Sequence[int]]
_NO_ATTRIBUTES: Attributes = {}
_AXES_ARE_INPUTS = 18


class Writer:
    """Collects nodes in the order in which they are written."""

    def __init__(self, prefix: str, opset: int) -> None:
        """Args: what all names begin with; version of the standard operators."""
        self._prefix = prefix
        self._opset = opset
        self._constants: dict[tuple[str, tuple[int, ...], bytes], ir.Value] = {}
        self.nodes: list[ir.Node] = []

    def op(
        self,
        op_type: str,
        *inputs: ir.Value | None,
        attributes: Attributes = _NO_ATTRIBUTES,
        domain: str = "",
    ) -> ir.Value:
        """Writes a node of one output and returns it."""
        return self.many(op_type, inputs, 1, attributes, domain)[0]

    def many(
        self,
        op_type: str,
        inputs: Sequence[ir.Value | None],
        outputs: int,
        attributes: Attributes = _NO_ATTRIBUTES,
        domain: str = "",
    ) -> Sequence[ir.Value]:
        """Writes a node and returns its outputs."""
        name = f"{self._prefix}{len(self.nodes)}.{op_type}"
        node = ir.node(op_type, inputs, attributes, domain=domain, num_outputs=outputs, name=name)
        for index, output in enumerate(node.outputs):
            output.name = name if index == 0 else f"{name}.{index}"
        self.nodes.append(node)
        return node.outputs

    def constant(self, array: NDArray[np.generic]) -> ir.Value:
        """A constant, the same value for the same bytes."""
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._constants:
            name = f"{self._prefix}{len(self.nodes)}.Constant"
            tensor = ir.tensor(np.ascontiguousarray(array).reshape(array.shape), name=name)
            node = ir.node("Constant", [], {"value": tensor}, name=name)
            node.outputs[0].name = name
            self.nodes.append(node)
            self._constants[key] = node.outputs[0]
        return self._constants[key]

    def integers(self, values: Sequence[int]) -> ir.Value:
        """An int64 vector."""
        return self.constant(np.array(values, np.int64))

    def number(self, value: float) -> ir.Value:
        """A float32 scalar."""
        return self.constant(np.array(value, np.float32))

    def cast(self, value: ir.Value, data_type: ir.DataType) -> ir.Value:
        """The value in another type."""
        return self.op("Cast", value, attributes={"to": int(data_type)})

    def concat(self, values: Sequence[ir.Value], axis: int) -> ir.Value:
        """Values joined along an axis; one alone stays as it is."""
        if len(values) == 1:
            return values[0]
        return self.op("Concat", *values, attributes={"axis": axis})

    def reshape(self, value: ir.Value, extents: Sequence[int]) -> ir.Value:
        """The value in another shape."""
        return self.op("Reshape", value, self.integers(extents))

    def gather(self, value: ir.Value, indices: ir.Value, axis: int) -> ir.Value:
        """Entries of an axis."""
        return self.op("Gather", value, indices, attributes={"axis": axis})

    def at_least(self, one: ir.Value, other: ir.Value) -> ir.Value:
        """Where one is not less than the other.

        Before opset 16 ONNX infers no shapes of GreaterOrEqual and LessOrEqual.
        """
        return self.op("Not", self.op("Less", one, other))

    def at_most(self, one: ir.Value, other: ir.Value) -> ir.Value:
        """Where one is not greater than the other."""
        return self.op("Not", self.op("Greater", one, other))

    def reduce(self, op_type: str, value: ir.Value, axis: int) -> ir.Value:
        """A reduction of ReduceMin's kind along an axis, which stays."""
        if self._opset < _AXES_ARE_INPUTS:
            return self.op(op_type, value, attributes={"axes": [axis], "keepdims": 1})
        return self.op(op_type, value, self.integers([axis]), attributes={"keepdims": 1})
