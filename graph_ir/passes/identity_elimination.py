"""Nodes that return what they are given go.

x -> Identity | no-op Cast, Reshape, Transpose, Slice, Pad, ... -> y becomes x = y, where no-op is
decided by static shapes, types and constant operands.
"""

from collections.abc import Callable

import numpy as np
import onnx_ir as ir

from graph_ir.passes.base import Pass, PassResult
from graph_ir.passes.rewiring import bypass, constant_array, shape_of


class IdentityElimination(Pass):
    """Removes every node of a known kind whose output equals its first (or only) operand.

    A node that makes a graph output of an input or of a constant is needed and stays.
    """

    name = "identity-elimination"

    def apply(self, model: ir.Model) -> PassResult:
        """Removes in one walk; each operator has a rule that finds the operand."""
        removed: dict[str, int] = {}
        for node in tuple(model.graph):
            source = unchanged_operand(node)
            if source is not None and bypass(node, node.outputs[0], source):
                removed[node.op_type] = removed.get(node.op_type, 0) + 1
        details = ", ".join(f"{count} {op}" for op, count in sorted(removed.items()))
        return PassResult(sum(removed.values()), details)


def unchanged_operand(node: ir.Node) -> ir.Value | None:
    """The operand that a node returns unchanged, None where it computes or moves something."""
    rule = _RULES.get(node.op_type)
    if node.domain != "" or rule is None or not node.inputs or not node.outputs:
        return None
    if any(output.uses() or output.is_graph_output() for output in node.outputs[1:]):
        return None
    source = rule(node)
    if source is None or source.dtype != node.outputs[0].dtype:
        return None
    return source if shape_of(source) == shape_of(node.outputs[0]) else None


def _first(node: ir.Node) -> ir.Value | None:
    """Same type and same shape are enough: Identity, Cast, and views that keep the order."""
    return node.inputs[0]


def _dropout(node: ir.Node) -> ir.Value | None:
    if len(node.inputs) < 3 or node.inputs[2] is None:
        return node.inputs[0]
    training = constant_array(node.inputs[2])
    return node.inputs[0] if training is not None and not training.any() else None


def _transpose(node: ir.Node) -> ir.Value | None:
    """The order of the axes that are longer than 1 must be kept."""
    source = node.inputs[0]
    if source is None:
        return None
    shape = shape_of(source)
    order = node.attributes.get_ints("perm", tuple(reversed(range(len(shape)))))
    moved = [axis for axis in order if shape[axis] != 1]
    return source if moved == sorted(moved) else None


def _slice(node: ir.Node) -> ir.Value | None:
    """With the whole shape kept, only a negative step can change anything."""
    if len(node.inputs) < 5 or node.inputs[4] is None:
        return node.inputs[0]
    steps = constant_array(node.inputs[4])
    return node.inputs[0] if steps is not None and min(steps.tolist(), default=1) > 0 else None


def _pad(node: ir.Node) -> ir.Value | None:
    """Equal shapes are not enough: pads of +1 and -1 shift."""
    if "pads" in node.attributes:
        pads = np.array(node.attributes["pads"].as_ints())
        return node.inputs[0] if not pads.any() else None
    given = constant_array(node.inputs[1]) if len(node.inputs) > 1 else None
    return node.inputs[0] if given is not None and not given.any() else None


def _only_filled(node: ir.Node) -> ir.Value | None:
    """The one operand of a Concat that has elements."""
    filled = [value for value in node.inputs if value is not None and 0 not in shape_of(value)]
    return filled[0] if len(filled) == 1 else None


def _single(node: ir.Node) -> ir.Value | None:
    return node.inputs[0] if len(node.inputs) == 1 else None


def _neutral(neutral: float, commutes: bool) -> Callable[[ir.Node], ir.Value | None]:
    """A rule for arithmetic with a constant that changes nothing."""

    def rule(node: ir.Node) -> ir.Value | None:
        left, right = node.inputs[0], node.inputs[1]
        constant = constant_array(right)
        if constant is not None and bool((constant == neutral).all()):
            return left
        constant = constant_array(left) if commutes else None
        if constant is not None and bool((constant == neutral).all()):
            return right
        return None

    return rule


_RULES: dict[str, Callable[[ir.Node], ir.Value | None]] = {
    "Identity": _first,
    "Cast": _first,
    "CastLike": _first,
    "Reshape": _first,
    "Flatten": _first,
    "Squeeze": _first,
    "Unsqueeze": _first,
    "Expand": _first,
    "Tile": _first,
    "Split": _first,
    "Dropout": _dropout,
    "Transpose": _transpose,
    "Slice": _slice,
    "Pad": _pad,
    "Concat": _only_filled,
    "Sum": _single,
    "Mean": _single,
    "Max": _single,
    "Min": _single,
    "Add": _neutral(0.0, commutes=True),
    "Sub": _neutral(0.0, commutes=False),
    "Mul": _neutral(1.0, commutes=True),
    "Div": _neutral(1.0, commutes=False),
    "Pow": _neutral(1.0, commutes=False),
}
