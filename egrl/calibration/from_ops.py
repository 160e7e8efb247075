"""Rates by op family from measured times of a model's own ops.

Used where the question is not how long an op computes (as for the tiered machine): one number per
family, so that the family's ops together take as long as they were measured to.
"""

import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from accelerator_sim.accelerator import Accelerator
from accelerator_sim.cost.variants import variants_of
from accelerator_sim.quantity import Quantity
from graph_ir.workload import Op, Workload


@dataclass(frozen=True, slots=True)
class FamilyRates:
    """Speeds relative to the accelerator's own.

    Attributes:
        mac: by family of the matrix unit.
        vector: by op family.
    """

    mac: Mapping[str, Quantity]
    vector: Mapping[str, Quantity]


def mac_family(op: Op) -> str:
    """The family by which the matrix unit's rate of an op is looked up."""
    depthwise = bool(op.mac_work) and all(work.depthwise for work in op.mac_work)
    return "depthwise" if depthwise else op.family.value


def rates_from_ops(
    workload: Workload, peak: Accelerator, measured_s_N: Sequence[float], how: str
) -> FamilyRates:
    """Fit one rate per family.

    Args:
        workload: the ops.
        peak: one core, with no rates by family.
        measured_s_N: median seconds of each op's computing.
        how: what the sources say of the measurement.
    """
    predicted: dict[tuple[bool, str], float] = defaultdict(float)
    measured: dict[tuple[bool, str], float] = defaultdict(float)
    ratios: dict[tuple[bool, str], list[float]] = defaultdict(list)
    for op, seconds in zip(workload.ops, measured_s_N, strict=True):
        variant = variants_of(op, peak)[0]
        is_mac = bool(op.mac_work)
        at_peak = variant.mac_s if is_mac else variant.vector_s
        if at_peak <= 0.0 or seconds <= 0.0:
            continue
        key = (is_mac, mac_family(op) if is_mac else op.family.value)
        predicted[key] += at_peak
        measured[key] += seconds
        ratios[key].append(at_peak / seconds)
    rates = {
        key: Quantity(predicted[key] / measured[key], source=_source(how, ratios[key]))
        for key in sorted(predicted)
    }
    return FamilyRates(
        {family: rate for (is_mac, family), rate in rates.items() if is_mac},
        {family: rate for (is_mac, family), rate in rates.items() if not is_mac},
    )


def _source(how: str, ratios: Sequence[float]) -> str:
    return (
        f"{how}: {len(ratios)} ops, each {min(ratios):.3g} to {max(ratios):.3g}, "
        f"median {statistics.median(ratios):.3g}"
    )
