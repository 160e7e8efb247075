"""Softmax, as one node or as exp(x - max) / sum(exp(x - max))."""

from dataclasses import dataclass

import onnx_ir as ir

from graph_ir.fusion.graph_index import GraphIndex
from graph_ir.onnx_values import op_key
from graph_ir.workload import OpFamily


@dataclass(frozen=True, slots=True)
class SoftmaxUnit:
    """A softmax found in the graph.

    Attributes:
        anchor: the node that names the axis.
        members: its nodes.
        start: what it reads.
        end: what it computes.
    """

    anchor: ir.Node
    members: tuple[ir.Node, ...]
    start: ir.Value
    end: ir.Value


def find_softmaxes(index: GraphIndex) -> list[SoftmaxUnit]:
    """All softmaxes of the graph, in topological order."""
    units: list[SoftmaxUnit] = []
    for node in index.nodes:
        if index.is_taken(node):
            continue
        if op_key(node) == "Softmax" and node.inputs[0] is not None:
            units.append(SoftmaxUnit(node, (node,), node.inputs[0], node.outputs[0]))
        elif op_key(node) == "Div":
            unit = _decomposed(index, node)
            if unit is not None:
                units.append(unit)
    return units


def claim_decomposed_softmaxes(index: GraphIndex) -> None:
    """Makes an op of every decomposed softmax that no attention has taken."""
    for unit in find_softmaxes(index):
        if len(unit.members) > 1:
            index.claim(OpFamily.SOFTMAX, unit.anchor, list(unit.members), unit.end)


def _decomposed(index: GraphIndex, division: ir.Node) -> SoftmaxUnit | None:
    numerator, denominator = division.inputs[0], division.inputs[1]
    if numerator is None or denominator is None or not index.is_private_chain(denominator):
        return None
    exponential, total = numerator.producer(), _free(index, denominator, "ReduceSum")
    if exponential is None or op_key(exponential) != "Exp" or index.is_taken(exponential):
        return None
    if total is None or total.inputs[0] is not numerator or numerator.is_graph_output():
        return None
    start = exponential.inputs[0]
    if len(index.consumers(numerator)) != 2 or start is None:
        return None
    members = [exponential, total, division]
    shift = _free(index, start, "Sub") if index.is_private(start) else None
    if shift is not None and shift is start.producer() and shift.inputs[0] is not None:
        start = shift.inputs[0]
        members.insert(0, shift)
        shifted_by = shift.inputs[1]
        if shifted_by is not None and index.is_private_chain(shifted_by):
            peak = _free(index, shifted_by, "ReduceMax")
            if peak is not None and peak.inputs[0] is start:
                members.insert(0, peak)
    return SoftmaxUnit(total, tuple(members), start, division.outputs[0])


def _free(index: GraphIndex, value: ir.Value, key: str) -> ir.Node | None:
    """The node behind a value's views, where it is of this kind and nobody has taken it."""
    node = index.computed_by(value)
    return None if node is None or op_key(node) != key or index.is_taken(node) else node
