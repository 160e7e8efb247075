"""What was important stays so (Liu et al., Scissorhands, arXiv 2305.17118)."""

from dataclasses import dataclass
from typing import ClassVar

from egrl.kv.budget import check_budget, largest_window
from egrl.kv.method import KvMethod, check_free_keys
from egrl.kv.probe import HeadProbe
from graph_ir.decoder.decoder import Decoder
from graph_ir.errors import InputError, UnmetRequirementError
from graph_ir.kv.layout import HeadGroup, KvLayout


@dataclass(frozen=True, slots=True)
class Scissorhands(KvMethod):
    """Each head drops what got less than the mean weight most often, while it reads and writes.

    See `graph_ir.kv.scored`.

    Attributes:
        buffer: positions that each head keeps.
        history: queries over which importance is remembered.
        recent: queries that have to find a position unimportant before it may be dropped.
        kv_budget: share of the full float16 bytes that chooses the buffer; 0 for the one given.
    """

    name: ClassVar[str] = "scissorhands"
    buffer: int = 1024
    history: int = 400
    recent: int = 10
    kv_budget: float = 0.0

    def __post_init__(self) -> None:
        """Checks the options.

        Raises:
            InputError: no buffer for twice the recent positions, no history, no budget.
        """
        KvMethod.__post_init__(self)
        if self.history < 2:
            raise InputError(f"history: expected 2 or more queries, got {self.history}")
        if self.recent < 0:
            raise InputError(f"recent: expected 0 or more queries, got {self.recent}")
        if self.buffer < self._least:
            raise InputError(f"buffer: expected {self._least} or more, got {self.buffer}")
        check_budget(self.kv_budget)

    @property
    def _least(self) -> int:
        """Room for two chunks, however short, and for the recent positions twice."""
        return max(4, 2 * self.recent)

    def layout(self, decoder: Decoder, context: int, probe: HeadProbe | None) -> KvLayout:
        """See `KvMethod`.

        Raises:
            InputError: an attention that has to know where its keys stood.
            UnmetRequirementError: the budget has no room for twice the recent positions.
        """
        del probe
        check_free_keys(decoder, self.name)
        if not self.kv_budget:
            return self._layout(decoder, context, self.buffer)
        found = largest_window(
            decoder,
            context,
            self.kv_budget,
            lambda buffer: self._layout(decoder, context, max(buffer, self._least)),
        )
        if found is None:
            raise UnmetRequirementError(
                f"scissorhands: {self._least} positions take more than "
                f"{100 * self.kv_budget:g} % of the full caches at {context} positions"
            )
        return found

    def _layout(self, decoder: Decoder, context: int, buffer: int) -> KvLayout:
        """Everything where there is room for it, which is the same and cheaper."""
        drops = buffer < context
        layers = []
        for attention in decoder.layers:
            group = HeadGroup(
                heads=tuple(range(attention.kv_heads)),
                key_bits=self.key,
                value_bits=self.value,
                buffer=buffer if drops else 0,
                history=self.history if drops else 0,
                recent=self.recent if drops else 0,
            )
            layers.append((group,))
        return KvLayout(context, tuple(layers))
