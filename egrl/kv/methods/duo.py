"""Heads that keep everything, given in a file: as DuoAttention's patterns (arXiv 2410.10819)."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from egrl.kv.budget import check_budget, largest_window
from egrl.kv.head_file import read_heads
from egrl.kv.method import ALL, Kept, KvMethod, check_window
from egrl.kv.probe import HeadProbe
from egrl.kv.rank import best_heads, check_share
from graph_ir.decoder.decoder import Decoder
from graph_ir.errors import InputError, UnmetRequirementError
from graph_ir.kv.layout import KvLayout


@dataclass(frozen=True, slots=True)
class Duo(KvMethod):
    """The heads of a file keep everything, the others sinks and a window.

    Attributes:
        heads: file with one row for each layer and one weight for each KV head (tabs or spaces
            between them), or the same as nested lists in JSON.
        share: of all KV heads that keep everything, those of the highest weights.
        window: last positions that the others keep (published: 256).
        sinks: first positions that they keep (published: 64).
        kv_budget: share of the full float16 bytes; chooses the window, 0 for the one given.
    """

    name: ClassVar[str] = "duo"
    heads: str = ""
    share: float = 0.5
    window: int = 256
    sinks: int = 64
    kv_budget: float = 0.0

    def __post_init__(self) -> None:
        """Checks the options.

        Raises:
            InputError: a share or a window that is none.
        """
        KvMethod.__post_init__(self)
        check_window(self.window, self.sinks)
        check_share("share", self.share)
        check_budget(self.kv_budget)

    def layout(self, decoder: Decoder, context: int, probe: HeadProbe | None) -> KvLayout:
        """See `KvMethod`.

        Raises:
            InputError: there is no file, or it is not of this decoder.
            UnmetRequirementError: the heads that keep everything take more than the budget.
        """
        del probe
        if not self.heads:
            raise InputError("duo: expected heads=FILE with a weight for every KV head")
        weights = read_heads(Path(self.heads), [layer.kv_heads for layer in decoder.layers])
        long = frozenset(best_heads(weights, self.share))

        def make(window: int) -> KvLayout:
            short = Kept(window, self.sinks)
            kept = [
                [ALL if (index, head) in long else short for head in range(layer.kv_heads)]
                for index, layer in enumerate(decoder.layers)
            ]
            return self.grouped(decoder, context, kept)

        if not self.kv_budget:
            return make(self.window)
        found = largest_window(decoder, context, self.kv_budget, make)
        if found is None:
            raise UnmetRequirementError(
                f"duo: {100 * self.share:g} % of the KV heads and a window take more than "
                f"{100 * self.kv_budget:g} % of the full caches at {context} positions"
            )
        return found
