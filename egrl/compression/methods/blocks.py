"""A model cut into the blocks that it is made of: where only the residual stream passes.

No name and no pattern of operators is looked at. A cut is a place in the node order where few
values that depend on a quantized weight are still needed; in a transformer that is the residual
stream, before and after attention, and before and after the feed-forward part. Parts that repeat
with a period (attention, feed-forward, attention, ...) are joined to one block each period.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

import onnx_ir as ir

from graph_ir.compression.sites import Site
from graph_ir.onnx_values import element_count, is_constant

_WIDEST_CUT = 3
_MOST_SITES = 16


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """Consecutive nodes, and what enters and leaves them.

    Attributes:
        inputs: values that depend on weights of earlier blocks.
        sides: values that depend on no quantized weight (masks, the embedding).
        outputs: values that later nodes read; those of the model where there are none (a cache
            entry that leaves the model on the way is not among them).
        sites: whose weights are in the block; never empty.
    """

    inputs: tuple[ir.Value, ...]
    sides: tuple[ir.Value, ...]
    outputs: tuple[ir.Value, ...]
    sites: tuple[Site, ...]


def find_blocks(graph: ir.Graph, sites: Sequence[Site]) -> tuple[Block, ...]:
    """The blocks of a graph, in its order; together they have every site once.

    Args:
        graph: in topological order.
        sites: of the graph, in its order.
    """
    if not sites:
        return ()
    at = {site.node: site for site in sites}
    nodes = dependent_nodes(graph, sites)
    parts: list[list[ir.Node]] = []
    widths = _cut_widths(nodes)
    for width in range(1, _WIDEST_CUT + 1):
        parts = _cut(nodes, widths, set(at), width)
        if max(sum(node in at for node in part) for part in parts) <= _MOST_SITES:
            break
    dependent = {value for node in nodes for value in node.outputs}
    shapes = [
        tuple((at[node].inner, at[node].columns) for node in part if node in at) for part in parts
    ]
    return tuple(
        _block([node for part in parts[first:last] for node in part], at, dependent)
        for first, last in layers(shapes)
    )


def dependent_nodes(graph: ir.Graph, sites: Sequence[Site]) -> list[ir.Node]:
    """Nodes that a quantized weight reaches, in order."""
    starts = {site.node for site in sites}
    reached: set[ir.Value] = set()
    nodes = []
    for node in graph:
        if node in starts or any(value in reached for value in node.inputs):
            nodes.append(node)
            reached.update(node.outputs)
    return nodes


def _cut_widths(nodes: Sequence[ir.Node]) -> list[int]:
    """How many values cross the cut before each node."""
    position = {node: at for at, node in enumerate(nodes)}
    change = [0] * (len(nodes) + 1)
    for at, node in enumerate(nodes):
        for value in node.outputs:
            last = max((position[user] for user, _ in value.uses() if user in position), default=at)
            if last > at:
                change[at + 1] += 1
                change[last + 1] -= 1
    return list(accumulate(change[:-1]))


def _cut(
    nodes: Sequence[ir.Node], widths: Sequence[int], starts: set[ir.Node], width: int
) -> list[list[ir.Node]]:
    """Parts between cuts; one without a site belongs to the part before it."""
    parts: list[list[ir.Node]] = []
    for node, here in zip(nodes, widths, strict=True):
        if here <= width:
            parts.append([])
        parts[-1].append(node)
    parts = _without_pooling(parts, starts)
    joined: list[list[ir.Node]] = []
    for part in parts:
        if not joined or any(node in starts for node in part):
            joined.append(part)
        else:
            joined[-1] += part
    return joined


def _without_pooling(parts: list[list[ir.Node]], starts: set[ir.Node]) -> list[list[ir.Node]]:
    """The parts up to the last cut, behind the last site, that the most elements pass.

    A few pooled numbers a sample are too little to choose all roundings of a layer by.
    """
    last = max(at for at, part in enumerate(parts) if any(node in starts for node in part))
    best, most = len(parts), 0
    for end in range(last + 1, len(parts) + 1):
        reached = [node for part in parts[:end] for node in part]
        passing = sum(element_count(v) for v in _leaving(reached, set(reached)))
        if passing >= most:
            best, most = end, passing
    return parts[:best]


def layers(shapes: Sequence[tuple[object, ...]]) -> list[tuple[int, int]]:
    """Parts that make a layer that repeats, as half-open ranges; single parts elsewhere.

    Args:
        shapes: of the weights of each part.

    Returns:
        Ranges of parts: with the smallest period by which the longest stretch repeats, and the
        phase with which most layers come out. A layer may be in more parts than the others (the
        first one often is: its residual stream depends on no weight yet).
    """
    start, length, period = _stretch(shapes)
    best: list[tuple[int, int]] = [(at, at + 1) for at in range(len(shapes))]
    if length < 2 * period:
        return best
    for phase in range(period):
        layer = _joined(shapes[start + phase : start + phase + period])
        ranges = _matched(shapes, layer)
        if len(ranges) < len(best):
            best = ranges
    return best


def _stretch(shapes: Sequence[tuple[object, ...]]) -> tuple[int, int, int]:
    """Start, length and period of the longest stretch of parts that repeats itself."""
    count, best = len(shapes), (0, 0, 1)
    for period in range(1, count // 2 + 1):
        start = 0
        for at in range(count - period + 1):
            if at + period < count and shapes[at] == shapes[at + period]:
                continue
            if at > start and at - start + period > best[1]:
                best = (start, at - start + period, period)
            start = at + 1
    return best


def _matched(
    shapes: Sequence[tuple[object, ...]], layer: tuple[object, ...]
) -> list[tuple[int, int]]:
    """Ranges of parts that have the layer's weights, from the first part on."""
    ranges, at = [], 0
    while at < len(shapes):
        end = at + 1
        while end < len(shapes) and len(_joined(shapes[at:end])) < len(layer):
            end += 1
        end = end if _joined(shapes[at:end]) == layer else at + 1
        ranges.append((at, end))
        at = end
    return ranges


def _joined(shapes: Sequence[tuple[object, ...]]) -> tuple[object, ...]:
    return tuple(shape for part in shapes for shape in part)


def _block(
    nodes: Sequence[ir.Node], sites: Mapping[ir.Node, Site], dependent: set[ir.Value]
) -> Block:
    inside = set(nodes)
    inputs: dict[ir.Value, None] = {}
    sides: dict[ir.Value, None] = {}
    for node in nodes:
        for value in node.inputs:
            if value is None or is_constant(value) or value.producer() in inside:
                continue
            (inputs if value in dependent else sides)[value] = None
    found = tuple(sites[node] for node in nodes if node in sites)
    return Block(tuple(inputs), tuple(sides), _leaving(nodes, inside), found)


def _leaving(nodes: Sequence[ir.Node], inside: set[ir.Node]) -> tuple[ir.Value, ...]:
    """Values that other nodes read; where there are none, those that leave the model."""
    values = [value for node in nodes for value in node.outputs]
    read = tuple(v for v in values if any(user not in inside for user, _ in v.uses()))
    return read or tuple(value for value in values if value.is_graph_output())
