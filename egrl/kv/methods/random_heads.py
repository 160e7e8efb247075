"""RazorAttention with heads drawn by chance in place of retrieval heads: its own ablation."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from egrl.kv.methods.razor import Razor
from egrl.kv.probe import HeadProbe, Scores
from graph_ir.decoder.decoder import Decoder
from graph_ir.kv.layout import KvLayout


@dataclass(frozen=True, slots=True)
class RandomHeads(Razor):
    """As many heads as razor keeps whole, drawn by a seed.

    Attributes:
        seed: of the draw.
    """

    name: ClassVar[str] = "random-heads"
    needs_probe: ClassVar[bool] = False
    seed: int = 0

    def layout(self, decoder: Decoder, context: int, probe: HeadProbe | None) -> KvLayout:
        """See `KvMethod`."""
        rng = np.random.default_rng(self.seed)
        echo, induction = _drawn(decoder, rng), _drawn(decoder, rng)
        # Named, because a dataclass with slots is another class than `super` looks for.
        products = () if probe is None else probe.products
        return Razor.layout(self, decoder, context, HeadProbe(echo, induction, products=products))


def _drawn(decoder: Decoder, rng: np.random.Generator) -> Scores:
    return tuple(tuple(rng.random(layer.kv_heads).tolist()) for layer in decoder.layers)
