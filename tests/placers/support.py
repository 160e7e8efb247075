"""Small problems under pressure, and what every placement must satisfy."""

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from accelerator_sim.accelerator import Accelerator
from accelerator_sim.addresses import has_addresses
from accelerator_sim.engine import evaluate
from accelerator_sim.problem import PlacementProblem, build_problem
from accelerator_sim.reference_engine import live_bytes, uses_staging
from accelerator_sim.targets import load_target
from egrl.bench.random_graphs import random_workload
from egrl.placers.base import PlacerResult
from tests.accelerator_sim.machines import quantity, with_streaming

TARGETS = ("nnp-i", "nnp-i-partitioned", "ethos-u65-512")


def tight(target: str, share: float = 0.1) -> Accelerator:
    """A shipped target whose inner memories and ring are a share of what they are."""
    base = load_target(target)
    tiers = [
        tier
        if k == 0
        else replace(tier, capacity_bytes=quantity(int(tier.capacity_bytes.value * share)))
        for k, tier in enumerate(base.tiers)
    ]
    streaming = base.streaming
    return with_streaming(
        replace(base, tiers=tiers),
        streaming.prefetch_ops,
        int(streaming.slice_bytes * share),
        int(streaming.staging_bytes * share),
    )


def random_problem(
    target: str, seed: int, ops: int, share: float = 0.1, wide: bool = True
) -> PlacementProblem:
    """A random workload on a tight target."""
    accelerator = tight(target, share)
    rng = np.random.default_rng(seed)
    return build_problem(random_workload(ops, rng, accelerator.default_type, wide), accelerator)


def check_result(problem: PlacementProblem, result: PlacerResult) -> None:
    """The result fits, counted without the engine; it has addresses and the latency it claims."""
    homes_T = result.homes_T
    assert homes_T.dtype == np.int8
    assert problem.allowed_TH[np.arange(problem.tensor_count), homes_T].all()
    homes = homes_T.tolist()
    tiers = problem.accelerator.tiers
    limits = [int(tier.capacity_bytes.value) for tier in tiers]
    if uses_staging(problem, homes):
        limits[-1] -= problem.accelerator.streaming.staging_bytes
    for row in live_bytes(problem, homes):
        assert all(used <= limit for used, limit in zip(row, limits, strict=True))
    assert has_addresses(problem, homes_T)
    assert evaluate(problem, homes_T) == (result.latency_s, 0)
    latencies = [latency_s for _, latency_s in result.curve]
    assert latencies == sorted(latencies, reverse=True)
    assert latencies[-1] == result.latency_s


def every_placement(problem: PlacementProblem) -> NDArray[np.int8]:
    """All placements of a tiny problem."""
    choices = [np.flatnonzero(allowed).astype(np.int8) for allowed in problem.allowed_TH]
    grids = np.meshgrid(*choices, indexing="ij")
    return np.stack([grid.ravel() for grid in grids], axis=1)
