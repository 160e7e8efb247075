"""The accelerator as nodes: its homes, its cores, and how homes stand to one another.

Axis letters: H homes, R relations, F features.
"""

import numpy as np
from numpy.typing import NDArray

from accelerator_sim.accelerator import Accelerator, Home, Tier
from accelerator_sim.problem import PlacementProblem

F32 = NDArray[np.float32]

RELATIONS = ("faster", "larger", "same tier", "next inwards", "shared alike")
HOME_FEATURES = 12
CORE_FEATURES = 6

DECADES = 6.0
"""Logarithms to base ten are divided by this."""


def machine_nodes(problem: PlacementProblem, ideal_s: float) -> tuple[F32, F32, F32]:
    """Features of the homes and of the cores, and the relations [R, H, H] between homes.

    Args:
        problem: the problem.
        ideal_s: its latency without limits.
    """
    accelerator, homes = problem.accelerator, problem.homes
    size_TH = problem.arrays.size_bytes_TH
    tiers = [accelerator.tiers[home.tier] for home in homes]
    rate_H = np.array([_read_rate(tier, accelerator) for tier in tiers])
    room_H = np.array([float(tier.capacity_bytes.value) for tier in tiers])
    total_H = np.maximum(1.0, size_TH.sum(axis=0))
    largest_H = np.maximum(1.0, size_TH.max(axis=0))
    # Reading all bytes of the model once: how much of the ideal latency that would take.
    whole_s_H = total_H / rate_H
    home_HF = np.stack(
        [
            np.array([home.tier for home in homes]) / max(1, len(accelerator.tiers) - 1),
            _log(rate_H / rate_H[0]),
            _log(whole_s_H / ideal_s),
            _log(room_H / total_H),
            _log(room_H / largest_H),
            _log(np.array([_write_rate(tier, accelerator) for tier in tiers]) / rate_H),
            _log(np.array([tier.latency_s.value for tier in tiers]) * problem.op_count / ideal_s),
            np.array([tier.scope == "per-core" for tier in tiers], float),
            np.array([home.mode == "replicated" for home in homes], float),
            np.array([home.mode == "partitioned" for home in homes], float),
            np.array([tier.read_only for tier in tiers], float),
            np.array([tier.ports == "separate" for tier in tiers], float),
        ],
        axis=1,
    )
    return (
        home_HF.astype(np.float32),
        _cores(accelerator, tiers[-1]),
        _relations(homes, tiers, rate_H),
    )


def _read_rate(tier: Tier, accelerator: Accelerator) -> float:
    per_core = accelerator.core_count if tier.scope == "per-core" else 1
    return float(tier.read_bytes_per_s.value) * per_core


def _write_rate(tier: Tier, accelerator: Accelerator) -> float:
    per_core = accelerator.core_count if tier.scope == "per-core" else 1
    return float(tier.write_bytes_per_s.value) * per_core


def _log(value: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.log10(np.clip(value, 1e-9, 1e9)) / DECADES


def _cores(accelerator: Accelerator, inner: Tier) -> F32:
    streaming, wires = accelerator.streaming, accelerator.interconnect
    inner_bytes = float(inner.capacity_bytes.value)
    return np.array(
        [
            np.log2(accelerator.core_count) / 8.0,
            float(wires.multicast),
            np.log10(wires.port_bytes_per_s.value / inner.read_bytes_per_s.value) / DECADES,
            np.log10(wires.bytes_per_s.value / inner.read_bytes_per_s.value) / DECADES,
            np.log2(1 + streaming.prefetch_ops) / 8.0,
            min(1.0, streaming.staging_bytes / inner_bytes) if streaming.path == "ring" else -1.0,
        ],
        np.float32,
    )


def _relations(homes: tuple[Home, ...], tiers: list[Tier], rate_H: NDArray[np.float64]) -> F32:
    index_H = np.array([home.tier for home in homes])
    room_H = np.array([float(tier.capacity_bytes.value) for tier in tiers])
    shared_H = np.array([tier.scope == "shared" for tier in tiers])
    return np.stack(
        [
            rate_H[:, None] > rate_H[None, :],
            room_H[:, None] > room_H[None, :],
            index_H[:, None] == index_H[None, :],
            index_H[:, None] + 1 == index_H[None, :],
            shared_H[:, None] == shared_H[None, :],
        ]
    ).astype(np.float32)
