"""RazorAttention without what stands for dropped positions: its own ablation."""

from dataclasses import dataclass
from typing import ClassVar

from egrl.kv.methods.razor import Razor


@dataclass(frozen=True, slots=True)
class NoCompensation(Razor):
    """Retrieval heads keep everything, the others sinks and a window."""

    name: ClassVar[str] = "no-compensation"
    compensation: bool = False
