"""The precision head as a torch module, for training; `head.propose` computes the same.

Axes: S products, P precisions, D width of the graph network, W width of the head, F features.
"""

import torch
from torch import Tensor, nn

from egrl.compression.joint.head_view import FEATURES

WIDTH = 24


def _mlp(inputs: int, width: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, width), nn.SiLU(), nn.Linear(width, outputs))


class HeadNetwork(nn.Module):
    """See `head.py`. The last layers begin at zero: an untrained head is the rule."""

    def __init__(self, embedding: int, width: int = WIDTH) -> None:
        """Make the layers; torch's generator decides the initial weights."""
        super().__init__()
        self.choice = _mlp(embedding + FEATURES, width, width)
        self.price = _mlp(3 * width, width, 1)
        self.worth = _mlp(width, width, 2)
        for head in (self.price, self.worth):
            for parameter in head[-1].parameters():
                nn.init.zeros_(parameter)

    def forward(self, product_SD: Tensor, choice_SPF: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of what waiting and bytes are worth [2], logarithms of factors [S, P]."""
        products, precisions, _ = choice_SPF.shape
        product_SPD = product_SD.unsqueeze(1).expand(products, precisions, product_SD.shape[1])
        seen_SPW = self.choice(torch.cat([product_SPD, choice_SPF], dim=2))
        product_SW = seen_SPW.mean(dim=1)
        model_W = product_SW.mean(dim=0)
        joined = torch.cat(
            [seen_SPW, product_SW.unsqueeze(1).expand_as(seen_SPW), model_W.expand_as(seen_SPW)],
            dim=2,
        )
        return self.worth(model_W), self.price(joined).squeeze(2)
