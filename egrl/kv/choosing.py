"""Methods that choose positions of a prompt once it has been read, and keep all that follow."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from egrl.kv.budget import check_budget, layout_share
from egrl.kv.method import KvMethod, check_free_keys
from egrl.kv.probe import HeadProbe
from graph_ir.decoder.decoder import Decoder
from graph_ir.errors import InputError, UnmetRequirementError
from graph_ir.kv.layout import HeadGroup, KvLayout
from graph_ir.kv.scoring import OBSERVED, Scoring


@dataclass(frozen=True, slots=True)
class ChoosingMethod(KvMethod):
    """Each head, or each layer, chooses positions of the prompt once it has been read.

    While a prompt is read its caches are whole; bytes and budgets are of those that tokens are
    generated with. See `graph_ir.kv.select`.

    Attributes:
        always: positions that are kept whatever they score.
        keep: positions of the prompt that each head keeps, or the heads of a layer on average.
        growth: positions after the prompt that there is room for.
        kv_budget: share of the full float16 bytes that chooses `keep`; 0 for the one given.
    """

    always: ClassVar[int] = OBSERVED
    keep: int = 1024
    growth: int = 256
    kv_budget: float = 0.0

    def __post_init__(self) -> None:
        """Checks the options.

        Raises:
            InputError: no more positions than are kept anyway, no room to grow, no budget.
        """
        KvMethod.__post_init__(self)
        if self.keep <= self.always:
            raise InputError(f"keep: expected more than {self.always} positions, got {self.keep}")
        if self.growth < 1:
            raise InputError(f"growth: expected 1 or more positions, got {self.growth}")
        check_budget(self.kv_budget)

    @property
    @abstractmethod
    def is_shared(self) -> bool:
        """Whether the heads of a layer share their positions out by score."""

    @abstractmethod
    def scoring(self, probe: HeadProbe | None) -> Scoring:
        """By what positions are chosen."""

    def layout(self, decoder: Decoder, context: int, probe: HeadProbe | None) -> KvLayout:
        """See `KvMethod`.

        Raises:
            InputError: an attention that has to know where its keys stood.
            UnmetRequirementError: the budget has no room for what is kept anyway and growth.
        """
        check_free_keys(decoder, self.name)
        scoring = self.scoring(probe)
        if not self.kv_budget:
            return self._layout(decoder, context, self.keep, scoring)
        whole = self._layout(decoder, context, context, scoring)
        if layout_share(decoder, whole) <= self.kv_budget:
            return whole
        low, high = self.always, max(self.always, context - self.growth)
        while low < high:
            middle = (low + high + 1) // 2
            found = self._layout(decoder, context, middle, scoring)
            if layout_share(decoder, found) <= self.kv_budget:
                low = middle
            else:
                high = middle - 1
        if low == self.always:
            raise UnmetRequirementError(
                f"{self.name}: more than {self.always} positions and {self.growth} after the "
                f"prompt take more than {100 * self.kv_budget:g} % of the full caches at {context} "
                "positions"
            )
        return self._layout(decoder, context, low, scoring)

    def _layout(self, decoder: Decoder, context: int, keep: int, scoring: Scoring) -> KvLayout:
        """Everything where there is room for it, which is the same and cheaper."""
        chooses = keep + self.growth < context
        layers = []
        for attention in decoder.layers:
            group = HeadGroup(
                heads=tuple(range(attention.kv_heads)),
                key_bits=self.key,
                value_bits=self.value,
                keep=keep if chooses else 0,
                growth=self.growth if chooses else 0,
                # One head alone has nobody to share with.
                shared=chooses and self.is_shared and attention.kv_heads > 1,
            )
            layers.append((group,))
        return KvLayout(context, tuple(layers), scoring)
