"""The graph as the networks walk it: bidirectional, with the pairs two steps apart.

Axis letters: N ops of one graph, B graphs of a batch, M = B N nodes of all of them, E edges.
"""

from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True, slots=True)
class BatchTopology:
    """B copies of a graph beside each other.

    Attributes:
        edges_2E: int64, both directions, no loops.
        squared_2E: int64, pairs at most two steps apart, no loops.
        graph_M: int64, of which copy a node is.
        count: B.
    """

    edges_2E: Tensor
    squared_2E: Tensor
    graph_M: Tensor
    count: int


@dataclass(frozen=True, slots=True)
class Topology:
    """One graph, and its batches as they are asked for.

    Attributes:
        op_count: N.
        edges_2E: int64, both directions.
        squared_2E: int64, pairs at most two steps apart.
    """

    op_count: int
    edges_2E: Tensor
    squared_2E: Tensor
    _batches: dict[int, BatchTopology] = field(default_factory=dict, repr=False)

    def batch(self, count: int) -> BatchTopology:
        """The graph `count` times."""
        found = self._batches.get(count)
        if found is None:
            found = BatchTopology(
                self._repeat(self.edges_2E, count),
                self._repeat(self.squared_2E, count),
                torch.arange(count).repeat_interleave(self.op_count),
                count,
            )
            self._batches[count] = found
        return found

    def _repeat(self, edges_2E: Tensor, count: int) -> Tensor:
        shift_B = torch.arange(count) * self.op_count
        return (edges_2E[:, None, :] + shift_B[None, :, None]).reshape(2, -1)


def build_topology(edges_2E: NDArray[np.int64], op_count: int) -> Topology:
    """Make data flow bidirectional: ops see both what they read and who reads them."""
    flow_2E = torch.from_numpy(edges_2E)
    both_2E = torch.unique(torch.cat([flow_2E, flow_2E.flip(0)], dim=1), dim=1)
    return Topology(op_count, both_2E, squared(both_2E, op_count))


def squared(edges_2E: Tensor, node_count: int) -> Tensor:
    """The off-diagonal pattern of (A + I)^2, in order."""
    loops_N = torch.arange(node_count)
    source_E = torch.cat([edges_2E[0], loops_N])
    sink_E = torch.cat([edges_2E[1], loops_N])
    order_E = torch.argsort(source_E, stable=True)
    source_E, sink_E = source_E[order_E], sink_E[order_E]
    degree_N = torch.bincount(source_E, minlength=node_count)
    begin_N = degree_N.cumsum(0) - degree_N
    # Every edge a -> b continues along all edges b -> c.
    repeats_E = degree_N[sink_E]
    first_E = repeats_E.cumsum(0) - repeats_E
    step = torch.arange(int(repeats_E.sum())) - first_E.repeat_interleave(repeats_E)
    end = sink_E[begin_N[sink_E].repeat_interleave(repeats_E) + step]
    pairs = torch.unique(source_E.repeat_interleave(repeats_E) * node_count + end)
    source, sink = pairs // node_count, pairs % node_count
    return torch.stack([source, sink])[:, source != sink]
