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
    if numerator is None or denominator is None:
        return None
    exponential, total = numerator.producer(), denominator.producer()
    if exponential is None or op_key(exponential) != "Exp" or index.is_taken(exponential):
        return None
    if total is None or op_key(total) != "ReduceSum" or total.inputs[0] is not numerator:
        return None
    if not index.is_private(denominator) or numerator.is_graph_output():
        return None
    if len(index.consumers(numerator)) != 2 or index.is_taken(total):
        return None
    members = [exponential, total, division]
    start = exponential.inputs[0]
    if start is None:
        return None
    shift = start.producer()
    if shift is not None and op_key(shift) == "Sub" and index.is_private(start):
        source, shifted_by = shift.inputs
        peak = None if shifted_by is None else shifted_by.producer()
        if (
            source is not None
            and shifted_by is not None
            and peak is not None
            and op_key(peak) == "ReduceMax"
            and peak.inputs[0] is source
            and index.is_private(shifted_by)
            and not index.is_taken(shift)
            and not index.is_taken(peak)
        ):
            members = [peak, shift, *members]
            start = source
    return SoftmaxUnit(total, tuple(members), start, division.outputs[0])
