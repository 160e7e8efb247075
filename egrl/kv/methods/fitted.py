"""Every head gets the window that it needs: where bytes take away the most error.

The error of each head's output is measured for windows of several widths, on text that the model
made up itself or that is given, and in which everything is said twice (`egrl.kv.said_twice`); the
budget is then shared out head by head. The heads that razor's probe ranks first keep everything
before that: up to half of the budget, because they find facts, which errors hardly show.
"""

from dataclasses import dataclass, replace
from typing import ClassVar

from egrl.kv.allot import Choice, allot
from egrl.kv.budget import full_bytes, layout_bytes
from egrl.kv.errors import HeadErrors
from egrl.kv.method import ALL, Kept, given_probe
from egrl.kv.methods.razor import Razor
from egrl.kv.probe import HeadProbe, check_heads
from egrl.kv.rank import Head, retrieval_heads
from graph_ir.decoder.decoder import Decoder
from graph_ir.errors import InputError, UnmetRequirementError
from graph_ir.kv.layout import KvLayout

_FLOAT16_BITS = 16


@dataclass(frozen=True, slots=True)
class Fitted(Razor):
    """A budget shared out over the heads by the error that their windows cause.

    Attributes:
        part: of the positions that there is room for, what retrieval heads take at most.
        window: narrowest window of a head; a step of the prompt has no more rows.
        compensation: whether the mean of what is dropped is kept.
        induction: most that is kept for induction scores, as a share of all KV heads.
        kv_budget: share of the full float16 bytes; 0 for all of them.
        text: `.npy` file with the tokens of a text to measure on; made up where empty.
    """

    name: ClassVar[str] = "fitted"
    part: ClassVar[float] = 0.5
    needs_errors: ClassVar[bool] = True
    window: int = 128
    compensation: bool = False
    induction: float = 0.07
    kv_budget: float = 0.3
    text: str = ""

    def layout(self, decoder: Decoder, context: int, probe: HeadProbe | None) -> KvLayout:
        """See `KvMethod`.

        Raises:
            UnmetRequirementError: the budget has no room for retrieval heads and narrow windows.
        """
        scores = given_probe(self, probe)
        check_heads(scores, decoder, self.name)
        errors = scores.errors
        if errors is None:
            raise InputError(f"{self.name}: expected errors of the heads, got none")
        if any(layer.slopes or layer.window for layer in decoder.layers):
            raise InputError(
                f"{self.name}: {decoder.source_path}: expected no ALiBi and no sliding windows"
            )
        within = self._within()
        long = retrieval_heads(scores, within.induction, within.echo)
        ladder = self._ladder(context, errors)
        heads = [(i, h) for i, layer in enumerate(decoder.layers) for h in range(layer.kv_heads)]
        prices = {kept: self._price(decoder, context, kept) for kept in {*ladder, ALL}}
        choices: dict[Head, list[Choice]] = {}
        for index, head in heads:
            if (index, head) in long:
                choices[index, head] = [(prices[ALL][index], 0.0)]
                continue
            by_window = _stretched(errors, index, head, ladder, context)
            choices[index, head] = [
                *((prices[kept][index], by_window[kept]) for kept in ladder),
                (prices[ALL][index], 0.0),
            ]
        budget = within.kv_budget * full_bytes(decoder, context)
        chosen = allot(choices, budget)
        if chosen is None:
            raise UnmetRequirementError(
                f"{self.name}: retrieval heads and windows of {self.window} take more than "
                f"{100 * within.kv_budget:g} % of the full caches at {context} positions"
            )
        options = [*ladder, ALL]
        return self.grouped(
            decoder,
            context,
            [
                [
                    ALL if (index, head) in long else options[chosen[index, head]]
                    for head in range(layer.kv_heads)
                ]
                for index, layer in enumerate(decoder.layers)
            ],
        )

    def _within(self) -> "Fitted":
        """With no more induction heads than there is room for; echo heads are few."""
        budget = self.kv_budget or 1.0
        room = budget * _FLOAT16_BITS * 2 / (self.key + self.value)
        share = max(0.0, min(self.induction, self.part * room - self.echo))
        return replace(self, kv_budget=budget, induction=share)

    def _ladder(self, context: int, errors: HeadErrors) -> list[Kept]:
        """Windows to choose from, rising."""
        widths = {max(self.window, round(share * context)) for share in errors.shares}
        return [
            Kept(width, self.sinks, self.compensation)
            for width in sorted(widths)
            if width + self.sinks + self.compensation < context
        ]

    def _price(self, decoder: Decoder, context: int, kept: Kept) -> list[float]:
        """Bytes of one head of each layer."""
        layout = self.grouped(
            decoder, context, [[kept] * layer.kv_heads for layer in decoder.layers]
        )
        return [
            layout_bytes(replace(decoder, layers=(layer,)), KvLayout(context, (groups,)))
            / layer.kv_heads
            for layer, groups in zip(decoder.layers, layout.layers, strict=True)
        ]


def _stretched(
    errors: HeadErrors, index: int, head: int, ladder: list[Kept], context: int
) -> dict[Kept, float]:
    """Errors of the windows: those of the measured window that is no wider, as a share."""
    measured = errors.errors[index][head]
    found = {}
    for kept in ladder:
        reached = [
            error
            for share, error in zip(errors.shares, measured, strict=True)
            if round(share * context) <= kept.window
        ]
        found[kept] = reached[-1] if reached else measured[0]
    return found
