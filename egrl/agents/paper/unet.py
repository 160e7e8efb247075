"""Graph U-Net (Gao and Ji, arXiv 1905.05178) with graph attention (arXiv 1710.10903).

The layers are PyTorch Geometric's, and so are the formulas; kernels of our own compute them for a
whole batch at once. Every parameter may have one more axis in front, an entry per graph: then
every graph of the batch has a network of its own, and a population is one pass.

Axis letters: B graphs of a batch, N nodes of each, F features, C hidden channels, J nodes kept.
"""

import math

import torch
from torch import Tensor, nn
from torch_geometric.nn import GATConv, TopKPooling

from egrl.agents.paper.attention import Attention
from egrl.agents.paper.config import PaperConfig
from egrl.agents.paper.topology import Graph


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

    def forward(self, nodes_BNF: Tensor, graph: Graph) -> Tensor:
        """Hidden state of every node, [B, N, C].

        At each pooling pairs two steps apart are joined (A^2), so that what is left stays
        connected.

        Args:
            nodes_BNF: features.
            graph: of the whole batch.
        """
        x_BNC = torch.relu(convolve(self.down[0], nodes_BNF, graph))
        skips: list[tuple[Tensor, Graph, Tensor]] = []
        for pool, convolution in zip(self.pools, self.down[1:], strict=True):
            before_BNC, before = x_BNC, graph
            x_BNC, kept_BJ = pooled(pool, x_BNC)
            graph = before.kept(kept_BJ.reshape(-1).numpy())
            skips.append((before_BNC, before, kept_BJ))
            x_BNC = torch.relu(convolve(convolution, x_BNC, graph))
        for level, convolution in enumerate(self.up):
            before_BNC, graph, kept_BJ = skips.pop()
            flat_MC = before_BNC.flatten(0, 1).index_add(0, kept_BJ.flatten(), x_BNC.flatten(0, 1))
            x_BNC = convolve(convolution, flat_MC.view_as(before_BNC), graph)
            if level < len(self.up) - 1:
                x_BNC = torch.relu(x_BNC)
        return x_BNC


def linear(layer: nn.Module, x_BNF: Tensor) -> Tensor:
    """A linear layer, whose parameters may have a batch axis."""
    weight, bias = layer.weight, layer.bias
    assert isinstance(weight, Tensor)
    x_BNC = x_BNF @ weight.mT
    return x_BNC if bias is None else x_BNC + _per_node(bias, weight)


def convolve(layer: nn.Module, x_BNF: Tensor, graph: Graph) -> Tensor:
    """A `GATConv` with self-loops, on every graph of the batch: [B, N, C]."""
    assert isinstance(layer, GATConv)
    x_BNC = linear(layer.lin, x_BNF)
    width = layer.out_channels
    source_GKW = layer.att_src.reshape(-1, layer.heads, width)
    sink_GKW = layer.att_dst.reshape(-1, layer.heads, width)
    bias_GC = layer.bias.reshape(-1, layer.heads * width)
    out_MC: Tensor = Attention.apply(  # type: ignore[no-untyped-call]
        x_BNC.flatten(0, 1), source_GKW, sink_GKW, bias_GC, graph
    )
    return out_MC.view_as(x_BNC)


def pooled(layer: nn.Module, x_BNC: Tensor) -> tuple[Tensor, Tensor]:
    """A `TopKPooling`: the nodes kept, [B, J, C], and which of the whole batch they were, [B, J].

    Of nodes with the same score those that come first are kept.
    """
    assert isinstance(layer, TopKPooling)
    weight_GC = layer.select.weight.reshape(-1, x_BNC.shape[2])
    unit_GC1 = (weight_GC / weight_GC.norm(dim=1, keepdim=True))[:, :, None]
    score_BN = torch.tanh((x_BNC @ unit_GC1)[:, :, 0])
    count, nodes = score_BN.shape
    kept = math.ceil(layer.ratio * nodes)
    order_BN = torch.sort(score_BN.detach(), dim=1, descending=True, stable=True).indices
    kept_BJ = order_BN[:, :kept] + (torch.arange(count) * nodes)[:, None]
    flat = kept_BJ.flatten()
    kept_MC = x_BNC.flatten(0, 1)[flat] * score_BN.flatten()[flat][:, None]
    return kept_MC.view(count, kept, -1), kept_BJ


def _per_node(bias: Tensor | nn.Module, weight: Tensor) -> Tensor:
    assert isinstance(bias, Tensor)
    return bias[:, None, :] if weight.dim() == 3 else bias


def _convolution(width: int, config: PaperConfig) -> GATConv:
    return GATConv(width, config.hidden // config.heads, heads=config.heads)
