"""The detailed model: tiles, bursts, queues and banks as discrete events.

It judges how well the engine ranks placements, and shares nothing with it but the accelerator file
and the workload.
"""

from accelerator_sim.detailed.model import DetailedModel, DetailedResult, simulate_detailed
from accelerator_sim.detailed.parameters import (
    BANKED_SRAM,
    IDEAL,
    IDEAL_MEMORY,
    LPDDR4X,
    DetailedParameters,
    MemoryTiming,
)

__all__ = [
    "BANKED_SRAM",
    "IDEAL",
    "IDEAL_MEMORY",
    "LPDDR4X",
    "DetailedModel",
    "DetailedParameters",
    "DetailedResult",
    "MemoryTiming",
    "simulate_detailed",
]
