"""The graph as the fusion patterns see it: order, uses, views, and which nodes are taken."""

from dataclasses import dataclass
from heapq import heapify, heappop, heappush

import onnx_ir as ir

from graph_ir.errors import InputError
from graph_ir.fusion.immediates import is_immediate
from graph_ir.fusion.views import find_views
from graph_ir.onnx_values import is_constant, node_name, op_key
from graph_ir.workload import OpFamily


@dataclass(slots=True)
class Seed:
    """A group under construction.

    Attributes:
        family: of the op to be.
        anchor: see `Group.anchor`.
        core: see `Group.core`.
        members: computing nodes, in no particular order until the group is closed.
        output: the value that further nodes may be fused onto, or None.
    """

    family: OpFamily
    anchor: ir.Node
    core: tuple[ir.Node, ...]
    members: list[ir.Node]
    output: ir.Value | None


class GraphIndex:
    """Read-only facts about the graph, and the seeds claimed so far.

    Attributes:
        nodes: all nodes that an output needs, but Constants, in a stable topological order.
        position: of each node in `nodes`.
        seeds: groups claimed so far, in order of claiming.
    """

    def __init__(self, graph: ir.Graph, streamed: frozenset[str]) -> None:
        self.nodes = _live(_stable_order([n for n in graph if op_key(n) != "Constant"]))
        self.position = {node: at for at, node in enumerate(self.nodes)}
        self.seeds: list[Seed] = []
        self._seed_of: dict[ir.Node, Seed] = {}
        self._consumers: dict[ir.Value, list[ir.Node]] = {}
        self._data_input = find_views(self.nodes, streamed)
        for node in self.nodes:
            for value in node.inputs:
                if value is not None:
                    self._consumers.setdefault(value, []).append(node)

    def consumers(self, value: ir.Value) -> list[ir.Node]:
        """Nodes that read a value, one entry per use, in topological order."""
        return self._consumers.get(value, [])

    def is_view(self, node: ir.Node) -> bool:
        """True for a node that is read through and costs nothing."""
        return node in self._data_input

    def data_input(self, node: ir.Node) -> int:
        """Which input of a view carries the data."""
        return self._data_input[node]

    def materialize(self, node: ir.Node) -> None:
        """Makes a view an op of its own, whose result needs memory."""
        del self._data_input[node]

    def is_taken(self, node: ir.Node) -> bool:
        """True where a seed has claimed the node."""
        return node in self._seed_of

    def seed_of(self, node: ir.Node) -> Seed | None:
        """The seed that has claimed a node."""
        return self._seed_of.get(node)

    def claim(
        self,
        family: OpFamily,
        anchor: ir.Node,
        members: list[ir.Node],
        output: ir.Value | None,
        core: tuple[ir.Node, ...] = (),
    ) -> Seed:
        """Makes `members` a group. The core is the anchor unless told otherwise."""
        seed = Seed(family, anchor, core or (anchor,), [], output)
        self.seeds.append(seed)
        self.extend(seed, members)
        return seed

    def extend(self, seed: Seed, members: list[ir.Node], output: ir.Value | None = None) -> None:
        """Adds nodes to a group; `output` is its new end, if given."""
        for node in members:
            if node in self._seed_of:
                raise AssertionError(f"node {node_name(node)} is already in a group")
            self._seed_of[node] = seed
        seed.members.extend(members)
        if output is not None:
            seed.output = output

    def trace(self, value: ir.Value) -> tuple[ir.Value, list[ir.Node]]:
        """Follows views backwards: the value behind them, and the views from last to first."""
        chain: list[ir.Node] = []
        producer = value.producer()
        while producer is not None and producer in self._data_input:
            chain.append(producer)
            source = producer.inputs[self._data_input[producer]]
            assert source is not None, "a view always has its data input"
            value = source
            producer = value.producer()
        return value, chain

    def computed_by(self, value: ir.Value) -> ir.Node | None:
        """The computing node behind a value's views, or None for inputs and constants."""
        source, _ = self.trace(value)
        producer = source.producer()
        return None if producer is None or is_constant(source) else producer

    def is_private(self, value: ir.Value) -> bool:
        """True where exactly one node input reads the value and it is no graph output."""
        return len(self.consumers(value)) == 1 and not value.is_graph_output()

    def is_private_chain(self, value: ir.Value) -> bool:
        """True where the value and everything behind its views is read only once."""
        source, chain = self.trace(value)
        return (
            self.is_private(value)
            and self.is_private(source)
            and all(
                self.is_private(view.outputs[0]) and len(self.used_outputs(view)) == 1
                for view in chain
            )
        )

    def used_outputs(self, node: ir.Node) -> list[ir.Value]:
        """Outputs of a node that somebody reads or that leave the graph."""
        return [v for v in node.outputs if self.consumers(v) or v.is_graph_output()]

    def only_output(self, node: ir.Node) -> ir.Value | None:
        """The node's only used output, or None where there are several or none."""
        used = self.used_outputs(node)
        return used[0] if len(used) == 1 else None

    def data_operands(self, node: ir.Node) -> list[ir.Value]:
        """Inputs of a node that are not embedded in its command."""
        return [
            value
            for index, value in enumerate(node.inputs)
            if value is not None and not is_immediate(node, index)
        ]


def _stable_order(nodes: list[ir.Node]) -> list[ir.Node]:
    """Topological order that keeps the given order wherever it can.

    Raises:
        InputError: where the nodes depend on each other in a cycle.
    """
    place = {node: at for at, node in enumerate(nodes)}
    waiting = [0] * len(nodes)
    successors: list[list[int]] = [[] for _ in nodes]
    for at, node in enumerate(nodes):
        for value in node.inputs:
            producer = None if value is None else value.producer()
            if producer is not None and producer in place:
                successors[place[producer]].append(at)
                waiting[at] += 1
    ready = [at for at, count in enumerate(waiting) if count == 0]
    heapify(ready)
    ordered: list[ir.Node] = []
    while ready:
        at = heappop(ready)
        ordered.append(nodes[at])
        for successor in successors[at]:
            waiting[successor] -= 1
            if waiting[successor] == 0:
                heappush(ready, successor)
    if len(ordered) < len(nodes):
        stuck = next(node for at, node in enumerate(nodes) if waiting[at])
        raise InputError(f"node {node_name(stuck)}: expected an acyclic graph, got a cycle")
    return ordered


def _live(nodes: list[ir.Node]) -> list[ir.Node]:
    """The nodes whose results reach a graph output."""
    needed: set[ir.Value] = set()
    live: list[ir.Node] = []
    for node in reversed(nodes):
        if any(value in needed or value.is_graph_output() for value in node.outputs):
            live.append(node)
            needed.update(value for value in node.inputs if value is not None)
    return live[::-1]
