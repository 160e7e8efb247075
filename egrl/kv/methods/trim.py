"""Razor's heads under a budget: few retrieval heads, wide windows, no mean.

What a window of the other heads is worth depends on how wide it is: with little room, keeping the
published 14 % of heads whole leaves the others too little. Here retrieval heads take at most a
quarter of the positions that the budget has room for, the windows the rest. Better for the
perplexity of text that repeats little, worse for facts, which those heads find.
"""

from dataclasses import dataclass, replace
from typing import ClassVar

from egrl.kv.methods.razor import Razor
from egrl.kv.probe import HeadProbe
from graph_ir.decoder.decoder import Decoder
from graph_ir.kv.layout import KvLayout

_FLOAT16_BITS = 16


@dataclass(frozen=True, slots=True)
class Trim(Razor):
    """Retrieval heads take at most a quarter of a budget, the windows of the others the rest.

    Attributes:
        part: of the positions that there is room for, what retrieval heads take at most.
        compensation: whether the mean of what is dropped is kept.
        induction: most that is kept for induction scores, as a share of all KV heads.
        kv_budget: share of the full float16 bytes; without one it is razor without means.
    """

    name: ClassVar[str] = "trim"
    part: ClassVar[float] = 0.25
    compensation: bool = False
    kv_budget: float = 0.3

    def layout(self, decoder: Decoder, context: int, probe: HeadProbe | None) -> KvLayout:
        """See `KvMethod`."""
        # Named, because a dataclass with slots is another class than `super` looks for.
        return Razor.layout(self._within(), decoder, context, probe)

    def _within(self) -> "Trim":
        """With no more induction heads than there is room for; echo heads are few."""
        if not self.kv_budget:
            return self
        room = self.kv_budget * _FLOAT16_BITS * 2 / (self.key + self.value)
        return replace(self, induction=max(0.0, min(self.induction, self.part * room - self.echo)))
