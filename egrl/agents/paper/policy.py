"""The policy: a home for the weights and one for the outputs of every op, all at once.

Axis letters: B graphs of a batch, N ops, F features, S slots, H homes, C hidden channels.
"""

import torch
from torch import Tensor, nn

from egrl.agents.paper.config import PaperConfig
from egrl.agents.paper.topology import Topology
from egrl.agents.paper.unet import GraphUNet, linear
from egrl.environment.projection import SLOTS


class Policy(nn.Module):
    """Graph U-Net, two layers, and a head per slot."""

    def __init__(self, features: int, homes: int, config: PaperConfig) -> None:
        """Build the layers for F features and H homes."""
        super().__init__()
        hidden = config.hidden
        self.unet = GraphUNet(features, config)
        self.trunk = nn.Sequential(
            nn.Linear(hidden, hidden), nn.Tanh(), nn.Linear(hidden, hidden), nn.Tanh()
        )
        self.heads = nn.ModuleList([nn.Linear(hidden, homes) for _ in range(SLOTS)])

    def forward(self, nodes_BNF: Tensor, topology: Topology) -> Tensor:
        """Logits, [B, N, S, H]; parameters may have a batch axis (see `unet.py`)."""
        count, ops, _ = nodes_BNF.shape
        x_BNC = self.unet(nodes_BNF, topology.batch(count))
        for layer in self.trunk:
            x_BNC = torch.tanh(linear(layer, x_BNC)) if isinstance(layer, nn.Linear) else x_BNC
        logits_BNSH = torch.stack([linear(head, x_BNC) for head in self.heads], dim=2)
        return logits_BNSH.reshape(count, ops, SLOTS, -1)
