"""Positions that queries to come are expected to attend to (Devoto et al., arXiv 2510.00636)."""

from dataclasses import dataclass
from typing import ClassVar

from egrl.kv.choosing import ChoosingMethod
from egrl.kv.probe import HeadProbe
from graph_ir.errors import InputError
from graph_ir.kv.scoring import SINKS, Expected, Scoring


@dataclass(frozen=True, slots=True)
class ExpectedAttention(ChoosingMethod):
    """Positions are chosen by the mean and the spread of all queries of the prompt.

    Attributes:
        per_head: whether the heads of a layer share its positions out, as AdaKV has it and the
            authors recommend; otherwise each keeps as many.
        epsilon: added to the expected weight before it is multiplied with the value's length.
    """

    name: ClassVar[str] = "expected-attention"
    needs_rotations: ClassVar[bool] = True
    always: ClassVar[int] = SINKS
    per_head: bool = True
    epsilon: float = 0.01

    def __post_init__(self) -> None:
        """Checks the options.

        Raises:
            InputError: as `ChoosingMethod`; a negative epsilon.
        """
        ChoosingMethod.__post_init__(self)
        if not 0 <= self.epsilon <= 1:
            raise InputError(f"epsilon: expected 0 to 1, got {self.epsilon:g}")

    @property
    def is_shared(self) -> bool:
        """See `ChoosingMethod`."""
        return self.per_head

    def scoring(self, probe: HeadProbe | None) -> Scoring:
        """See `ChoosingMethod`.

        Raises:
            InputError: how queries are rotated is not known.
        """
        if probe is None or probe.rotations is None:
            raise InputError(f"{self.name}: expected the rotations of a probe, got none")
        return Expected(probe.rotations, self.epsilon)
