"""Graph U-Net (Gao and Ji, arXiv 1905.05178) with graph attention (arXiv 1710.10903).

Axis letters: M nodes of all graphs of a batch, F features, C hidden channels, E edges.
"""

import torch
from torch import Tensor, nn
from torch_geometric.nn import GATConv, TopKPooling

from egrl.agents.paper.config import PaperConfig
from egrl.agents.paper.topology import BatchTopology, squared


class GraphUNet(nn.Module):
    """Convolutions between poolings on the way down, skips that are added on the way up."""

    def __init__(self, features: int, config: PaperConfig) -> None:
        """Build the layers.

        Args:
            features: F.
            config: `hidden`, `depth`, `heads` and `pool_ratio` count here.
        """
        super().__init__()
        hidden, depth = config.hidden, config.depth
        widths = [features] + [hidden] * depth
        self.down = nn.ModuleList([_convolution(width, config) for width in widths])
        self.pools = nn.ModuleList([TopKPooling(hidden, config.pool_ratio) for _ in range(depth)])
        self.up = nn.ModuleList([_convolution(hidden, config) for _ in range(depth)])

    def forward(self, nodes_MF: Tensor, graph: BatchTopology) -> Tensor:
        """Hidden state of every node, [M, C].

        Before each pooling pairs two steps apart are joined (A^2), so that what is left stays
        connected.
        """
        edges_2E, graph_M = graph.edges_2E, graph.graph_M
        x_MC = torch.relu(self.down[0](nodes_MF, edges_2E))
        skips: list[tuple[Tensor, Tensor, Tensor]] = []
        wider_2E = graph.squared_2E
        for level, pool in enumerate(self.pools):
            if level:
                wider_2E = squared(edges_2E, len(x_MC))
            before_MC, before_2E = x_MC, edges_2E
            x_MC, edges_2E, _, graph_M, kept_M, _ = pool(x_MC, wider_2E, None, graph_M)
            skips.append((before_MC, before_2E, kept_M))
            x_MC = torch.relu(self.down[level + 1](x_MC, edges_2E))
        for level, convolution in enumerate(self.up):
            before_MC, edges_2E, kept_M = skips.pop()
            x_MC = before_MC.index_add(0, kept_M, x_MC)
            x_MC = convolution(x_MC, edges_2E)
            if level < len(self.up) - 1:
                x_MC = torch.relu(x_MC)
        return x_MC


def _convolution(width: int, config: PaperConfig) -> GATConv:
    return GATConv(width, config.hidden // config.heads, heads=config.heads)
