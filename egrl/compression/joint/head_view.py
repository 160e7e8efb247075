"""What the precision head sees: every product in every precision, in numbers without units.

Seconds are shares of the incumbent's latency, bytes are shares of the model's weights or of the
innermost memory, errors are shares of what the bound leaves, orders are ranks.

Axes: S products, P precisions, D width of the graph network, F features, N ops.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from accelerator_sim.problem import PlacementProblem
from egrl.agents.egrl.checkpoint import Policy
from egrl.agents.egrl.inference import op_embeddings
from egrl.agents.egrl.observation import observe
from egrl.compression.joint.costs import ChoiceCosts
from egrl.compression.joint.decoder import Prices
from egrl.compression.joint.model import Bounds
from egrl.placers.decoder import build_decoder

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

FEATURES = 18

RESOLUTION = 1e4
"""Shares are told apart from this fraction on."""

DECADES = 6.0


@dataclass(frozen=True, slots=True)
class Trait:
    """What a precision is.

    Attributes:
        weight_bits: of a stored entry; 0 where it is kept.
        reads_bytes: whether activations are bytes.
    """

    weight_bits: int
    reads_bytes: bool


KEPT = Trait(0, False)


@dataclass(frozen=True, slots=True)
class HeadView:
    """What the head sees.

    Attributes:
        product_SD: float32, of the graph network, mean over the product's ops.
        choice_SPF: float32.
    """

    product_SD: F32
    choice_SPF: F32


def product_embeddings(policy: Policy, problem: PlacementProblem, costs: ChoiceCosts) -> F32:
    """What the policy's graph network makes of every product, `[S, D]`.

    Args:
        policy: shipped or trained.
        problem: of the model with all products kept.
        costs: which ops each product is.
    """
    op_ND = op_embeddings(policy.weights, observe(problem, build_decoder(problem)))
    return np.stack([op_ND[list(ops)].mean(axis=0) for ops in costs.ops_of_product])


def choice_features(
    prices: Prices,
    costs: ChoiceCosts,
    bounds: Bounds,
    traits: Sequence[Trait],
    now_S: Sequence[int],
    latency_s: float,
    inner_bytes: int,
) -> F32:
    """Features of every choice, `[S, P, F]`.

    Args:
        prices: under the incumbent's homes.
        costs: of all choices.
        bounds: to keep to.
        traits: of the precisions.
        now_S: the incumbent's precisions.
        latency_s: the incumbent's.
        inner_bytes: capacity of the innermost memory.
    """
    products, precisions = costs.error_squared_SP.shape
    room = bounds.error**2 if np.isfinite(bounds.error) else np.inf
    total = max(1, int(costs.bytes_SP[:, 0].sum()))
    share_SP = costs.error_squared_SP / room if room > 0 else np.zeros((products, precisions))
    early_SP, late_SP = (
        _saved(seconds, latency_s) for seconds in (prices.early_SP, prices.late_SP)
    )
    saved_SP = np.maximum(prices.early_SP[:, :1] - prices.early_SP, 0.0)
    saved_SP = saved_SP + np.maximum(prices.late_SP[:, :1] - prices.late_SP, 0.0)
    fewer_SP = (costs.bytes_SP[:, :1] - costs.bytes_SP).astype(np.float64)
    whole_P = share_SP.sum(axis=0)
    bytes_P = costs.other_bytes + costs.bytes_SP.sum(axis=0)
    most = bounds.weight_bytes
    shape = (products, precisions)
    features = [
        np.broadcast_to([trait.weight_bits == 0 for trait in traits], shape),
        np.broadcast_to([trait.weight_bits / 8.0 for trait in traits], shape),
        np.broadcast_to([trait.reads_bytes for trait in traits], shape),
        np.arange(precisions) == np.asarray(now_S)[:, np.newaxis],
        early_SP,
        late_SP,
        _saved(prices.byte_SP, latency_s),
        _log(prices.early_SP / latency_s),
        _log(prices.late_SP / latency_s),
        _log(costs.bytes_SP / total),
        fewer_SP / total,
        np.clip(fewer_SP / max(1, inner_bytes), -2.0, 2.0),
        _log(share_SP),
        costs.error_squared_SP <= 0,
        _ranks(saved_SP / np.maximum(share_SP, 1e-12)),
        _ranks(fewer_SP / np.maximum(share_SP, 1e-12)),
        np.broadcast_to(_log(whole_P), shape),
        np.broadcast_to(np.zeros(precisions) if most is None else bytes_P / max(1, most), shape),
    ]
    assert len(features) == FEATURES
    return np.stack([np.asarray(each, np.float32) for each in features], axis=2)


def _saved(seconds_SP: F64, latency_s: float) -> F64:
    """Seconds less than where it is kept, the sign kept, on a logarithmic scale."""
    share_SP = (seconds_SP[:, :1] - seconds_SP) / latency_s
    found: F64 = np.sign(share_SP) * np.log1p(RESOLUTION * np.abs(share_SP)) / 9.0
    return found


def _log(share: F64) -> F64:
    """Decades of a share, from a billionth to a thousand."""
    found: F64 = np.log10(np.clip(share, 1e-9, 1e3)) / DECADES
    return found


def _ranks(value_SP: F64) -> F64:
    """Share of all that is strictly less."""
    flat = np.sort(value_SP, axis=None)
    return np.searchsorted(flat, value_SP, "left") / max(1, flat.size)
