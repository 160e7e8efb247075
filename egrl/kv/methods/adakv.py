"""SnapKV's scores, its positions shared out to the heads (Feng et al., AdaKV, arXiv 2407.11550)."""

from dataclasses import dataclass
from typing import ClassVar

from egrl.kv.methods.snapkv import SnapKv


@dataclass(frozen=True, slots=True)
class AdaKv(SnapKv):
    """The heads of a layer share its positions: the best of all heads, a fifth for each head."""

    name: ClassVar[str] = "adakv"

    @property
    def is_shared(self) -> bool:
        """See `ChoosingMethod`."""
        return True
