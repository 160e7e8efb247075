"""Regions of nodes that compute one value, grown forwards from a value or backwards from a node.

A region is fanout-free: nothing outside it reads what it computes inside, so fusing it can
never close a cycle in the graph of groups.
"""

from collections.abc import Callable
from dataclasses import dataclass
from heapq import heappop, heappush

import onnx_ir as ir

from graph_ir.fusion.graph_index import GraphIndex
from graph_ir.onnx_values import element_count

# A diamond that has not closed after this many nodes is given up.
OPEN_NODES_LIMIT = 32

Allowed = Callable[[ir.Node], bool]


@dataclass(frozen=True, slots=True)
class Region:
    """Nodes between a value and the value that they turn it into.

    Attributes:
        members: computing nodes, in topological order.
        end: the value that leaves the region.
    """

    members: tuple[ir.Node, ...]
    end: ir.Value


def grow(index: GraphIndex, start: ir.Value, allowed: Allowed, elements: int) -> Region | None:
    """The largest region that begins with the readers of `start` and ends in one value.

    Diamonds (x * sigmoid(x)) are followed until they close.

    Args:
        index: the graph.
        start: must not be read from outside the region.
        allowed: which nodes may be in it, views included.
        elements: that the end value must have.
    """
    open_uses = {start: len(index.consumers(start))}
    if start.is_graph_output():
        return None
    candidates: list[tuple[int, ir.Node]] = []
    inside: set[ir.Node] = set()
    _push(index, start, candidates, inside)
    members: list[ir.Node] = []
    best: Region | None = None
    since_best = 0
    while candidates and since_best < OPEN_NODES_LIMIT:
        _, node = heappop(candidates)
        if not allowed(node) or index.is_taken(node):
            break
        used = index.used_outputs(node)
        if any(value.is_graph_output() for value in used) and candidates:
            break
        for value in node.inputs:
            if value is not None and value in open_uses:
                open_uses[value] -= 1
                if open_uses[value] == 0:
                    del open_uses[value]
        for value in used:
            open_uses[value] = len(index.consumers(value))
        if not index.is_view(node):
            members.append(node)
        since_best += 1
        if len(open_uses) == 1 and used and not index.is_view(node):
            end = used[0]
            if element_count(end) == elements:
                best = Region(tuple(members), end)
                since_best = 0
        if any(value.is_graph_output() for value in used):
            break
        for value in used:
            _push(index, value, candidates, inside)
    return best


def _push(
    index: GraphIndex,
    value: ir.Value,
    candidates: list[tuple[int, ir.Node]],
    inside: set[ir.Node],
) -> None:
    for node in index.consumers(value):
        if node not in inside:
            inside.add(node)
            heappush(candidates, (index.position[node], node))


def cone(index: GraphIndex, roots: list[ir.Node], allowed: Allowed) -> list[ir.Node]:
    """The computing nodes that feed only `roots`, roots included, found backwards.

    Args:
        index: the graph.
        roots: nodes that are in the cone whatever `allowed` says.
        allowed: which untaken nodes may join it; views may always.
    """
    inside = set(roots)
    found = list(roots)
    candidates: list[tuple[int, ir.Node]] = []
    seen: set[ir.Node] = set(roots)
    for root in roots:
        _push_producers(index, root, candidates, seen)
    while candidates:
        _, node = heappop(candidates)
        joins = index.is_view(node) or (allowed(node) and not index.is_taken(node))
        if not joins or not _feeds_only(index, node, inside):
            continue
        inside.add(node)
        if not index.is_view(node):
            found.append(node)
        _push_producers(index, node, candidates, seen)
    return found


def _feeds_only(index: GraphIndex, node: ir.Node, inside: set[ir.Node]) -> bool:
    return all(
        not value.is_graph_output()
        and all(consumer in inside for consumer in index.consumers(value))
        for value in node.outputs
    )


def _push_producers(
    index: GraphIndex,
    node: ir.Node,
    candidates: list[tuple[int, ir.Node]],
    seen: set[ir.Node],
) -> None:
    for value in node.inputs:
        producer = None if value is None else value.producer()
        if producer is not None and producer in index.position and producer not in seen:
            seen.add(producer)
            heappush(candidates, (-index.position[producer], producer))
