"""Sinks and a window on every head (Xiao et al., StreamingLLM, arXiv 2309.17453, section 3.2)."""

from dataclasses import dataclass
from typing import ClassVar

from egrl.kv.budget import check_budget, largest_window
from egrl.kv.method import Kept, KvMethod, check_window
from egrl.kv.probe import HeadProbe
from graph_ir.decoder.decoder import Decoder
from graph_ir.errors import UnmetRequirementError
from graph_ir.kv.layout import KvLayout


@dataclass(frozen=True, slots=True)
class Streaming(KvMethod):
    """The first and the last positions, on every head alike.

    Attributes:
        window: last positions kept.
        sinks: first positions kept.
        kv_budget: share of the full float16 bytes that chooses the window; 0 for the one given.
    """

    name: ClassVar[str] = "streaming"
    window: int = 1024
    sinks: int = 4
    kv_budget: float = 0.0

    def __post_init__(self) -> None:
        """Checks the options.

        Raises:
            InputError: no window, fewer than no sinks, no budget.
        """
        KvMethod.__post_init__(self)
        check_window(self.window, self.sinks)
        check_budget(self.kv_budget)

    def layout(self, decoder: Decoder, context: int, probe: HeadProbe | None) -> KvLayout:
        """See `KvMethod`.

        Raises:
            UnmetRequirementError: the budget has no room for the sinks and one more.
        """
        del probe
        if not self.kv_budget:
            return self._layout(decoder, context, self.window)
        found = largest_window(
            decoder, context, self.kv_budget, lambda window: self._layout(decoder, context, window)
        )
        if found is None:
            raise UnmetRequirementError(
                f"streaming: {self.sinks} sinks and a window take more than "
                f"{100 * self.kv_budget:g} % of the full caches at {context} positions"
            )
        return found

    def _layout(self, decoder: Decoder, context: int, window: int) -> KvLayout:
        kept = Kept(window, self.sinks)
        return self.grouped(decoder, context, [[kept] * layer.kv_heads for layer in decoder.layers])
