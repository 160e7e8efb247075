"""From measured seconds of micro-benchmarks to rates by op family.

A family's rate is the geometric median of what its shapes give: the seconds that the accelerator
would take at its peak, over the measured seconds less the launch overhead. One number per family
is what the accelerator file can say, and a median is not moved by a shape that a kernel hates.
"""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from accelerator_sim.quantity import Quantity

MEMORY_BOUND = 0.8
"""A shape that spends this share of its time on memory says nothing of the arithmetic."""

LEAST_S = 1e-9


@dataclass(frozen=True, slots=True)
class Observation:
    """One micro-benchmark.

    Attributes:
        family: whose rate it says something of.
        label: for people.
        peak_s: its arithmetic at the accelerator's peak.
        memory_s: its traffic at the measured bandwidths.
        measured_s: median.
        ops: launched.
        beside_s: vector work beside that of the matrix unit, at the vector unit's peak.
        beside_family: whose rate that work has.
    """

    family: str
    label: str
    peak_s: float
    memory_s: float
    measured_s: float
    ops: int = 1
    beside_s: float = 0.0
    beside_family: str = ""


def family_rates(
    observations: Sequence[Observation],
    launch_s: float,
    vector_rate: Mapping[str, float] | None = None,
) -> dict[str, Quantity]:
    """Rates relative to the peak, by family, in order of name.

    Args:
        observations: with arithmetic; families in any order.
        launch_s: per op.
        vector_rate: of the vector work beside that of the matrix unit, by family; 1 where one is
            not named.
    """
    beside_rate = vector_rate or {}
    by_family: dict[str, list[float]] = {}
    bound: dict[str, int] = {}
    for seen in observations:
        beside_s = seen.beside_s / beside_rate.get(seen.beside_family, 1.0)
        seconds = max(seen.measured_s - seen.ops * launch_s - beside_s, LEAST_S)
        by_family.setdefault(seen.family, [])
        if seen.peak_s <= 0.0:
            continue  # It only moves bytes: the memories say how long that takes.
        if seen.memory_s >= MEMORY_BOUND * seconds:
            bound[seen.family] = bound.get(seen.family, 0) + 1
        else:
            by_family[seen.family].append(seen.peak_s / seconds)
    return {
        family: Quantity(statistics.median(rates), source=_source(rates, bound.get(family, 0)))
        for family, rates in sorted(by_family.items())
        if rates
    }


def _source(rates: Sequence[float], memory_bound: int) -> str:
    text = (
        f"measured: median of {len(rates)} shapes in onnxruntime, "
        f"{min(rates):.3g} to {max(rates):.3g}"
    )
    return f"{text}; {memory_bound} more were bound by memory" if memory_bound else text


def launch_overhead(chains: Mapping[int, float]) -> tuple[float, float]:
    """Seconds per op, and seconds of an inference beside its ops, by least squares.

    Args:
        chains: seconds of a chain of next to nothing, by number of ops; at least two lengths.
    """
    count = len(chains)
    mean_n = sum(chains) / count
    mean_s = sum(chains.values()) / count
    per_op = sum((n - mean_n) * (s - mean_s) for n, s in chains.items()) / sum(
        (n - mean_n) ** 2 for n in chains
    )
    return max(per_op, 0.0), max(mean_s - per_op * mean_n, 0.0)
