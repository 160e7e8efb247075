"""RazorAttention (Tang et al., arXiv 2407.15891): retrieval heads keep everything, others little.

Retrieval heads are found by a probe of repeated random tokens (section 3.2). The others keep their
first and last positions, and the mean of what is dropped as one more key and value (section 3.3).
With ALiBi a head's window follows from its weights, and nothing is compensated (section 3.1).
"""

from dataclasses import dataclass
from typing import ClassVar

from egrl.kv.alibi import EPSILON, alibi_window
from egrl.kv.budget import check_budget, largest_window
from egrl.kv.method import ALL, Kept, KvMethod, check_window, given_probe
from egrl.kv.probe import HeadProbe, check_heads
from egrl.kv.rank import check_share, retrieval_heads
from graph_ir.decoder.decoder import Attention, Decoder
from graph_ir.errors import InputError, UnmetRequirementError
from graph_ir.kv.layout import KvLayout

PUBLISHED_WINDOW = 4000
PUBLISHED_PART = 5


@dataclass(frozen=True, slots=True)
class Razor(KvMethod):
    """Retrieval heads keep everything; the others sinks, a window and a mean.

    Attributes:
        window: last positions that the other heads keep; 0 for the published max(4000, N / 5).
        sinks: first positions that they keep.
        compensation: whether they keep the mean of what is dropped.
        induction: share of all KV heads kept for their induction scores.
        echo: share kept for their echo scores.
        epsilon: weight that a head with ALiBi may leave out, beside the query's own.
        kv_budget: share of the full float16 bytes; chooses the window, 0 for the one given.
    """

    name: ClassVar[str] = "razor"
    needs_probe: ClassVar[bool] = True
    window: int = 1024
    sinks: int = 4
    compensation: bool = True
    induction: float = 0.14
    echo: float = 0.01
    epsilon: float = EPSILON
    kv_budget: float = 0.0

    def __post_init__(self) -> None:
        """Checks the options.

        Raises:
            InputError: a share or a window that is none.
        """
        KvMethod.__post_init__(self)
        check_window(self.window or 1, self.sinks)
        check_share("induction", self.induction)
        check_share("echo", self.echo)
        check_budget(self.kv_budget)
        if not 0 < self.epsilon < 1:
            raise InputError(f"epsilon: expected a weight between 0 and 1, got {self.epsilon:g}")

    def layout(self, decoder: Decoder, context: int, probe: HeadProbe | None) -> KvLayout:
        """See `KvMethod`.

        Raises:
            UnmetRequirementError: the retrieval heads alone take more than the budget.
        """
        scores = given_probe(self, probe)
        check_heads(scores, decoder, self.name)
        if not self.kv_budget:
            window = self.window or max(PUBLISHED_WINDOW, context // PUBLISHED_PART)
            return self._layout(decoder, context, scores, window)
        found = largest_window(
            decoder,
            context,
            self.kv_budget,
            lambda window: self._layout(decoder, context, scores, window),
        )
        if found is None:
            share = self.induction + self.echo
            raise UnmetRequirementError(
                f"{self.name}: retrieval heads ({100 * share:g} % of all) and a window take more "
                f"than {100 * self.kv_budget:g} % of the full caches at {context} positions"
            )
        return found

    def _kept(self, decoder: Decoder, probe: HeadProbe, window: int) -> list[list[Kept]]:
        long = retrieval_heads(probe, self.induction, self.echo)
        short = Kept(window, self.sinks, self.compensation)
        return [
            _alibi_kept(layer, probe.products[index], self.epsilon)
            if layer.slopes
            else [ALL if (index, head) in long else short for head in range(layer.kv_heads)]
            for index, layer in enumerate(decoder.layers)
        ]

    def _layout(self, decoder: Decoder, context: int, probe: HeadProbe, window: int) -> KvLayout:
        return self.grouped(decoder, context, self._kept(decoder, probe, window))


def _alibi_kept(layer: Attention, products_H: tuple[float, ...], epsilon: float) -> list[Kept]:
    """For each KV head the widest window of its query heads."""
    windows = [
        alibi_window(slope, product, epsilon)
        for slope, product in zip(layer.slopes, products_H, strict=True)
    ]
    group = layer.query_heads // layer.kv_heads
    return [Kept(max(windows[at : at + group])) for at in range(0, len(windows), group)]
