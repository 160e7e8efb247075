"""Positions that the end of the prompt attends to (Li et al., SnapKV, arXiv 2404.14469)."""

from dataclasses import dataclass
from typing import ClassVar

from egrl.kv.budget import check_budget, layout_share
from egrl.kv.method import KvMethod
from egrl.kv.probe import HeadProbe
from graph_ir.decoder.decoder import Decoder
from graph_ir.errors import InputError, UnmetRequirementError
from graph_ir.kv.layout import HeadGroup, KvLayout
from graph_ir.kv.observed import OBSERVED


@dataclass(frozen=True, slots=True)
class SnapKv(KvMethod):
    """Each head chooses positions of the prompt once it has been read, and keeps all after it.

    While a prompt is read its caches are whole; bytes and budgets are of those that tokens are
    generated with. See `graph_ir.kv.select`.

    Attributes:
        keep: positions of the prompt, the last 32 included.
        growth: positions after the prompt that there is room for.
        kv_budget: share of the full float16 bytes that chooses `keep`; 0 for the one given.
    """

    name: ClassVar[str] = "snapkv"
    keep: int = 1024
    growth: int = 256
    kv_budget: float = 0.0

    def __post_init__(self) -> None:
        """Checks the options.

        Raises:
            InputError: fewer positions than are observed, no room to grow, no budget.
        """
        KvMethod.__post_init__(self)
        if self.keep <= OBSERVED:
            raise InputError(f"keep: expected more than {OBSERVED} positions, got {self.keep}")
        if self.growth < 1:
            raise InputError(f"growth: expected 1 or more positions, got {self.growth}")
        check_budget(self.kv_budget)

    def layout(self, decoder: Decoder, context: int, probe: HeadProbe | None) -> KvLayout:
        """See `KvMethod`.

        Raises:
            InputError: an attention that has to know where its keys stood.
            UnmetRequirementError: the budget has no room for the observed positions and growth.
        """
        del probe
        for index, attention in enumerate(decoder.layers):
            if attention.window or attention.slopes or attention.sinks:
                raise InputError(
                    f"snapkv: attention {index}: expected no sliding window, ALiBi or learned sinks"
                )
        if not self.kv_budget:
            return self._layout(decoder, context, self.keep)
        whole = self._layout(decoder, context, context)
        if layout_share(decoder, whole) <= self.kv_budget:
            return whole
        low, high = OBSERVED, max(OBSERVED, context - self.growth)
        while low < high:
            middle = (low + high + 1) // 2
            if layout_share(decoder, self._layout(decoder, context, middle)) <= self.kv_budget:
                low = middle
            else:
                high = middle - 1
        if low == OBSERVED:
            raise UnmetRequirementError(
                f"snapkv: more than {OBSERVED} positions and {self.growth} after the prompt take "
                f"more than {100 * self.kv_budget:g} % of the full caches at {context} positions"
            )
        return self._layout(decoder, context, low)

    def _layout(self, decoder: Decoder, context: int, keep: int) -> KvLayout:
        """Everything where there is room for it, which is the same and cheaper."""
        chosen = (keep, self.growth) if keep + self.growth < context else (0, 0)
        layers = []
        for attention in decoder.layers:
            group = HeadGroup(
                heads=tuple(range(attention.kv_heads)),
                key_bits=self.key,
                value_bits=self.value,
                keep=chosen[0],
                growth=chosen[1],
            )
            layers.append((group,))
        return KvLayout(context, tuple(layers))
