"""Positions that the end of the prompt attends to (Li et al., SnapKV, arXiv 2404.14469)."""

from dataclasses import dataclass
from typing import ClassVar

from egrl.kv.choosing import ChoosingMethod
from egrl.kv.probe import HeadProbe
from graph_ir.kv.scoring import OBSERVATION, Scoring


@dataclass(frozen=True, slots=True)
class SnapKv(ChoosingMethod):
    """Each head chooses what the last 32 queries of the prompt attend to; they are kept, too."""

    name: ClassVar[str] = "snapkv"

    @property
    def is_shared(self) -> bool:
        """See `ChoosingMethod`."""
        return False

    def scoring(self, probe: HeadProbe | None) -> Scoring:
        """See `ChoosingMethod`."""
        del probe
        return OBSERVATION
