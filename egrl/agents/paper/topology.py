"""The graph as the networks see it: bidirectional, batched, and coarser with every pooling.

Axis letters: N ops, B graphs of a batch, M = B N nodes of all of them, E edges, J nodes kept.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from accelerator_sim.compiled import compiled

I32 = NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Graph:
    """Who reads whom, row after row; every node reads itself.

    Attributes:
        begin_M: int32, where the row of a node begins; one more entry than nodes.
        reads_E: int32, the nodes that it reads.
    """

    begin_M: I32
    reads_E: I32

    @property
    def node_count(self) -> int:
        """M."""
        return len(self.begin_M) - 1

    def kept(self, kept_J: NDArray[np.int64]) -> "Graph":
        """The nodes kept, in this order, those joined that were at most two steps apart.

        That is (A + I)^2 without the others, so that what a pooling leaves stays connected.
        """
        begin_J, reads_E = _coarsen(self.begin_M, self.reads_E, kept_J)
        return Graph(begin_J, reads_E)


@dataclass(frozen=True, slots=True)
class Topology:
    """One graph, and its batches as they are asked for.

    Attributes:
        op_count: N.
        graph: of the ops, both directions.
    """

    op_count: int
    graph: Graph
    _batches: dict[int, Graph] = field(default_factory=dict, repr=False)

    def batch(self, count: int) -> Graph:
        """The graph `count` times, side by side."""
        found = self._batches.get(count)
        if found is None:
            edges = len(self.graph.reads_E)
            rows_BN = self.graph.begin_M[:-1] + np.arange(count)[:, None] * edges
            reads_BE = self.graph.reads_E + np.arange(count)[:, None] * self.op_count
            begin_M = np.append(rows_BN.reshape(-1), count * edges)
            found = Graph(begin_M.astype(np.int32), reads_BE.reshape(-1).astype(np.int32))
            self._batches[count] = found
        return found


def build_topology(edges_2E: NDArray[np.int64], op_count: int) -> Topology:
    """Make data flow bidirectional: ops see what they read, who reads them, and themselves."""
    loops_2N = np.tile(np.arange(op_count, dtype=np.int64), (2, 1))
    both_2E = np.unique(np.concatenate([edges_2E, edges_2E[::-1], loops_2N], axis=1), axis=1)
    degree_N = np.bincount(both_2E[0], minlength=op_count)
    begin_M = np.append(0, degree_N.cumsum()).astype(np.int32)
    return Topology(op_count, Graph(begin_M, both_2E[1].astype(np.int32)))


@compiled
def _coarsen(begin_M: I32, reads_E: I32, kept_J: NDArray[np.int64]) -> tuple[I32, I32]:
    nodes = len(begin_M) - 1
    place_M = np.full(nodes, -1, np.int32)
    for j in range(len(kept_J)):
        place_M[kept_J[j]] = j
    # How many steps of length two there are bounds how many pairs they join.
    bound = 0
    for m in kept_J:
        for e in range(begin_M[m], begin_M[m + 1]):
            middle = reads_E[e]
            bound += begin_M[middle + 1] - begin_M[middle]
    begin_J = np.zeros(len(kept_J) + 1, np.int32)
    found_E = np.empty(bound, np.int32)
    seen_J = np.full(len(kept_J), -1, np.int32)
    count = 0
    for j in range(len(kept_J)):
        m = kept_J[j]
        for first in range(begin_M[m], begin_M[m + 1]):
            middle = reads_E[first]
            for second in range(begin_M[middle], begin_M[middle + 1]):
                end = place_M[reads_E[second]]
                if end >= 0 and seen_J[end] != j:
                    seen_J[end] = j
                    found_E[count] = end
                    count += 1
        begin_J[j + 1] = count
    return begin_J, found_E[:count].copy()
