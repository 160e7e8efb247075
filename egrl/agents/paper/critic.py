"""The critic: what a map is worth in a state, twice, from one trunk.

Axis letters: B graphs of a batch, N ops, F features, S slots, H homes, C hidden channels.
"""

import torch
from torch import Tensor, nn

from egrl.agents.paper.config import PaperConfig
from egrl.agents.paper.topology import Topology
from egrl.agents.paper.unet import GraphUNet
from egrl.environment.projection import SLOTS

TWINS = 2


class Critic(nn.Module):
    """Graph U-Net over state and action, maximum over the ops, two heads."""

    def __init__(self, features: int, homes: int, config: PaperConfig) -> None:
        """Build the layers for F features of the state and H homes."""
        super().__init__()
        hidden = config.hidden
        self.unet = GraphUNet(features + SLOTS * homes, config)
        self.twins = nn.ModuleList(
            [
                nn.Sequential(nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, 1))
                for _ in range(TWINS)
            ]
        )

    def forward(self, nodes_BNF: Tensor, action_BNSH: Tensor, topology: Topology) -> Tensor:
        """Two estimates for every graph, [B, 2].

        Args:
            nodes_BNF: states.
            action_BNSH: one-hot or soft choices.
            topology: of the graph.
        """
        input_BNF = torch.cat([nodes_BNF, action_BNSH.flatten(2)], dim=2)
        pooled_BC = self.unet(input_BNF, topology.batch(len(nodes_BNF))).amax(dim=1)
        return torch.cat([twin(pooled_BC) for twin in self.twins], dim=1)
