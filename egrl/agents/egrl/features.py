"""Features of tensors, ops, pairs of tensor and home, and op families.

Seconds are shares of the ideal latency on a logarithmic scale, bytes are shares of capacities,
positions are shares of the execution, and orders are ranks: the share of what is strictly less.

Axis letters: T tensors, N ops, H homes, L tiers, K op families, F features.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from accelerator_sim.incremental.state import KEPT, RESIDENT, TOTAL, State
from accelerator_sim.kernel import CORE, STREAMS
from accelerator_sim.problem import PlacementProblem
from egrl.agents.egrl.prior import Prior
from egrl.agents.egrl.spans import span_max_LT, span_mean_LT
from egrl.placers.decoder import Decoder
from graph_ir.workload import OpFamily, TensorKind

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
I64 = NDArray[np.int64]

KINDS = tuple(TensorKind)
FAMILIES = tuple(OpFamily)

TENSOR_FEATURES = len(KINDS) + 12
OP_FEATURES = 9
PAIR_FEATURES = 13
FAMILY_FEATURES = 3

RESOLUTION = 1e4
"""Shares of the ideal latency are told apart from this fraction on."""


@dataclass(frozen=True, slots=True)
class Rule:
    """The placement of the rule that the policy corrects, and what became of it.

    Attributes:
        homes_T: int8.
        state: its timeline and its live bytes.
        ideal_N: seconds of every op without limits.
        ideal_s: their sum.
        lost_N: seconds of every op beyond these.
        fill_LN: live bytes over capacity.
    """

    homes_T: NDArray[np.int8]
    state: State
    ideal_N: F64
    ideal_s: float
    lost_N: F64
    fill_LN: F64


def build_rule(decoder: Decoder, homes_T: NDArray[np.int8], state: State, ideal_N: F64) -> Rule:
    """What the features take from a placement and its state."""
    lost_N = np.maximum(0.0, np.diff(state.mark_SMF[KEPT, :, TOTAL]) - ideal_N)
    live_LN = state.live_LN + state.tier_LF[:, RESIDENT, np.newaxis]
    fill_LN = live_LN / np.maximum(1, decoder.tables.capacity_bytes_L[:, np.newaxis])
    return Rule(homes_T, state, ideal_N, max(float(ideal_N.sum()), 1e-12), lost_N, fill_LN)


def op_features(problem: PlacementProblem, decoder: Decoder, rule: Rule) -> F32:
    """Float32 [N, F]."""
    record_NF = decoder.tables.table_QF[rule.state.record_N]
    taken_N = np.maximum(1e-15, rule.ideal_N + rule.lost_N)
    count_N = np.diff(problem.arrays.row_start_N)
    macs_N = np.array([bool(op.mac_work) for op in problem.workload.ops])
    return np.stack(
        [
            _share(rule.ideal_N, rule.ideal_s),
            _share(rule.lost_N, rule.ideal_s),
            np.clip(record_NF[:, CORE] / taken_N, 0.0, 1.0),
            np.clip(record_NF[:, STREAMS] / taken_N, 0.0, 2.0),
            np.minimum(2.0, rule.fill_LN[-1]),
            np.minimum(2.0, rule.fill_LN[max(0, len(rule.fill_LN) - 2)]),
            count_N / 8.0,
            macs_N,
            np.linspace(0.0, 1.0, problem.op_count),
        ],
        axis=1,
    ).astype(np.float32)


def tensor_features(problem: PlacementProblem, decoder: Decoder, prior: Prior, rule: Rule) -> F32:
    """Float32 [T, F]."""
    arrays, values = problem.arrays, decoder.values
    kind_T = np.array([KINDS.index(tensor.kind) for tensor in problem.workload.tensors])
    size_T = arrays.size_bytes_TH.max(axis=1).astype(np.float64)
    life_T = np.maximum(1, arrays.end_T - arrays.start_T)
    worst_T = np.where(problem.allowed_TH, values.seconds_TH, -np.inf).max(axis=1)
    best_T = values.seconds_TH.min(axis=1)
    rule_s_T = np.take_along_axis(values.seconds_TH, rule.homes_T[:, None].astype(int), 1)[:, 0]
    uses_T = np.bincount(arrays.row_tensor_E, minlength=problem.tensor_count)
    op_E = np.repeat(np.arange(problem.op_count), np.diff(arrays.row_start_N))
    blamed_T = np.bincount(arrays.row_tensor_E, rule.lost_N[op_E], problem.tensor_count)
    inner_T = arrays.capacity_bytes_L[-1]
    return np.concatenate(
        [
            kind_T[:, None] == np.arange(len(KINDS)),
            np.stack(
                [
                    life_T / problem.op_count,
                    arrays.start_T / problem.op_count,
                    np.log2(1 + uses_T) / 4.0,
                    np.log10(np.maximum(1e-9, size_T / max(1.0, size_T.sum()))) / 6.0,
                    np.log10(np.clip(size_T / max(1, inner_T), 1e-9, 1e3)) / 6.0,
                    _share(worst_T - best_T, rule.ideal_s),
                    _share(rule_s_T - best_T, rule.ideal_s),
                    _share(blamed_T.astype(np.float64), rule.ideal_s),
                    prior.priority_T,
                    _rank(size_T),
                    problem.allowed_TH.sum(axis=1) > 1,
                    np.clip(size_T / max(1, inner_T), 0.0, 2.0),
                ],
                axis=1,
            ),
        ],
        axis=1,
    ).astype(np.float32)


def pair_features(problem: PlacementProblem, decoder: Decoder, prior: Prior, rule: Rule) -> F32:
    """Float32 [T, H, F]; zero where a tensor may not live."""
    arrays, allowed_TH = problem.arrays, problem.allowed_TH
    seconds_TH = np.where(allowed_TH, decoder.values.seconds_TH, 0.0)
    best_T1 = decoder.values.seconds_TH.min(axis=1, keepdims=True)
    worst_T1 = np.where(allowed_TH, decoder.values.seconds_TH, -np.inf).max(axis=1, keepdims=True)
    lost_TH, gain_TH = np.maximum(0.0, seconds_TH - best_T1), np.maximum(0.0, worst_T1 - seconds_TH)
    room_H = np.maximum(1, arrays.capacity_bytes_L[arrays.tier_H])
    taken_TH = arrays.size_bytes_TH / room_H
    life_T1 = (arrays.end_T - arrays.start_T)[:, None] / problem.op_count
    density_TH = gain_TH / np.maximum(1e-12, taken_TH * life_T1)
    fullest_TH = span_max_LT(rule.fill_LN, arrays.start_T, arrays.end_T)[arrays.tier_H].T
    mean_TH = span_mean_LT(rule.fill_LN, arrays.start_T, arrays.end_T)[arrays.tier_H].T
    homes = np.arange(allowed_TH.shape[1])
    demanded_TH, density_rank_TH = _demand(
        density_TH, taken_TH * life_T1, allowed_TH, arrays.tier_H
    )
    pair_THF = np.stack(
        [
            allowed_TH,
            np.log10(np.clip(taken_TH, 1e-9, 1e3)) / 6.0,
            np.clip(taken_TH, 0.0, 2.0),
            _share(lost_TH, rule.ideal_s),
            _share(gain_TH, rule.ideal_s),
            density_rank_TH,
            np.tanh(demanded_TH),
            rule.homes_T[:, None] == homes,
            decoder.values.ideal_T[:, None] == homes,
            np.minimum(2.0, fullest_TH),
            np.minimum(2.0, mean_TH),
            np.clip(np.where(allowed_TH, prior.preference_TH, 0.0) / 16.0, -1.0, 0.0),
            lost_TH <= 0.0,
        ],
        axis=2,
    )
    return np.where(allowed_TH[:, :, None], pair_THF, 0.0).astype(np.float32)


def family_features(family_N: I64, rule: Rule, op_NF: F32) -> F32:
    """Float32 [K, F]: share of the ops, share of the time, and how much of it is arithmetic."""
    count_K = np.bincount(family_N, minlength=len(FAMILIES))
    time_K = np.bincount(family_N, rule.ideal_N, len(FAMILIES))
    core_K = np.bincount(family_N, op_NF[:, 2], len(FAMILIES))
    return np.stack(
        [count_K / len(family_N), time_K / rule.ideal_s, core_K / np.maximum(1, count_K)], axis=1
    ).astype(np.float32)


def _share(seconds: F64, ideal_s: float) -> F64:
    return np.log1p(RESOLUTION * np.maximum(0.0, seconds) / ideal_s) / 9.0


def _rank(value_T: F64) -> F64:
    """Share of the values that are strictly less; it does not depend on the order of equals."""
    return np.searchsorted(np.sort(value_T), value_T, "left") / max(1, len(value_T))


def _demand(
    density_TH: F64, space_TH: F64, allowed_TH: NDArray[np.bool_], tier_H: I64
) -> tuple[F64, F64]:
    """For each pair: the space that denser tensors ask of its home, and its rank by density.

    Space is in capacities of the tier over the whole execution.
    """
    demanded_TH, rank_TH = np.zeros(density_TH.shape), np.zeros(density_TH.shape)
    for h in range(density_TH.shape[1]):
        may_T = allowed_TH[:, h]
        density_t, space_t = density_TH[may_T, h], space_TH[may_T, h]
        order = np.argsort(-density_t, kind="stable")
        before = np.concatenate([[0.0], np.cumsum(space_t[order])])
        first = np.searchsorted(-density_t[order], -density_t, "left")
        demanded_TH[may_T, h] = before[first]
        rank_TH[may_T, h] = _rank(density_t)
    return demanded_TH, rank_TH
