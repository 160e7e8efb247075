"""What the linear rule knows of a tensor in a home: a dozen numbers without units.

Logarithms are decades. A tensor's saving is what its ops would take less than with the tensor in
its outermost home (`accelerator_sim/value.py`). Buffers are activations and scratch, residents are
weights and states; the rule weighs the two kinds apart, as `acts-first` does.
"""

import numpy as np
from numpy.typing import NDArray

from accelerator_sim.value import op_seconds_N
from egrl.placers.constructive import outermost_homes
from egrl.placers.decoder import Decoder
from egrl.placers.native import RESIDENT_KINDS
from graph_ir.workload import TensorKind

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]

FEATURES = (
    "depth",
    "buffer",
    "state",
    "buffer_saving",
    "buffer_size",
    "buffer_lifetime",
    "resident_saving",
    "resident_size",
    "stall",
    "uses",
    "loss",
    "contention",
    "mode_bytes",
    "shared_lifetime",
)
"""The last axis of `linear_features`, in order:

- depth: of the tier, 0 outermost, 1 innermost;
- buffer, state: 1 for that kind;
- buffer_saving, resident_saving: log of the saving over the latency without limits;
- buffer_size, resident_size: log of the bytes over the tier's capacity;
- buffer_lifetime: log of the lifetime over all ops;
- stall: saving over what the tensor's ops take with it in its outermost home;
- uses: log of the ops that use it;
- loss: seconds beyond the tensor's best home, over the same;
- contention: log of the tier's live bytes over its capacity where it is fullest while the tensor
  lives, with everything in its ideal home;
- mode_bytes: log of the bytes over those of the tier's smallest home of the tensor;
- shared_lifetime: lifetime over all ops.
"""

LEAST = 1e-8
"""Shares below this count as this."""


def linear_features(decoder: Decoder) -> F64:
    """Tensors, homes, `FEATURES`; 0 where a tensor may not live.

    Args:
        decoder: of the problem.
    """
    problem, values, tables = decoder.problem, decoder.values, decoder.tables
    a, tensors = problem.arrays, problem.workload.tensors
    allowed_TH, seconds_TH = problem.allowed_TH, values.seconds_TH
    rows = np.arange(len(tensors))
    outer_s_T = seconds_TH[rows, outermost_homes(problem)]
    seconds_TH = np.where(allowed_TH, seconds_TH, outer_s_T[:, np.newaxis])
    saving_TH = np.maximum(0.0, outer_s_T[:, np.newaxis] - seconds_TH)
    ideal_s = max(1e-15, float(op_seconds_N(tables, values.ideal_T).sum()))
    share_TH = a.size_bytes_TH / a.capacity_bytes_L[a.tier_H]
    lifetime_T = np.maximum(1, a.end_T - a.start_T) / max(1, problem.op_count)
    resident_T = np.array([tensor.kind in RESIDENT_KINDS for tensor in tensors], np.float64)
    state_T = np.array([tensor.kind is TensorKind.STATE for tensor in tensors], np.float64)
    buffer_T = 1.0 - resident_T
    uses_T = np.bincount(a.row_tensor_E, minlength=len(tensors))
    per_op_T = np.maximum(1e-15, outer_s_T)[:, np.newaxis]
    depth_H = a.tier_H / max(1, len(a.capacity_bytes_L) - 1)
    saving_log_TH, size_log_TH = _decades(saving_TH / ideal_s), _decades(share_TH)
    shape = allowed_TH.shape
    columns = {
        "depth": np.broadcast_to(depth_H, shape),
        "buffer": _wide(buffer_T, shape),
        "state": _wide(state_T, shape),
        "buffer_saving": buffer_T[:, np.newaxis] * saving_log_TH,
        "buffer_size": buffer_T[:, np.newaxis] * size_log_TH,
        "buffer_lifetime": _wide(buffer_T * _decades(lifetime_T), shape),
        "resident_saving": resident_T[:, np.newaxis] * saving_log_TH,
        "resident_size": resident_T[:, np.newaxis] * size_log_TH,
        "stall": saving_TH / per_op_T,
        "uses": _wide(np.log10(np.maximum(1, uses_T)), shape),
        "loss": (seconds_TH - seconds_TH.min(axis=1, keepdims=True)) / per_op_T,
        "contention": _contention(decoder)[:, a.tier_H],
        "mode_bytes": _mode_bytes(decoder),
        "shared_lifetime": _wide(lifetime_T, shape),
    }
    features_THF = np.stack([columns[name] for name in FEATURES], axis=2)
    features_THF[~allowed_TH] = 0.0
    return features_THF


def _decades(share: F64) -> F64:
    logs: F64 = np.log10(np.clip(share, LEAST, 1.0 / LEAST))
    return logs


def _wide(column_T: F64, shape: tuple[int, ...]) -> F64:
    return np.broadcast_to(column_T[:, np.newaxis], shape)


def _mode_bytes(decoder: Decoder) -> F64:
    """Decades of bytes beyond those of the tier's smallest home of the same tensor."""
    problem = decoder.problem
    size_TH, tier_H = problem.arrays.size_bytes_TH.astype(np.float64), problem.arrays.tier_H
    result_TH = np.zeros(size_TH.shape)
    for tier in range(len(problem.arrays.capacity_bytes_L)):
        here_H = tier_H == tier
        least_T = np.where(problem.allowed_TH & here_H, size_TH, np.inf).min(axis=1)
        ratio_TH = np.maximum(1.0, size_TH) / np.maximum(1.0, least_T)[:, np.newaxis]
        result_TH[:, here_H] = _decades(ratio_TH)[:, here_H]
    return np.where(problem.allowed_TH, result_TH, 0.0)


def _contention(decoder: Decoder) -> F64:
    """Decades of live bytes over capacity at the fullest op of each tensor's life, per tier."""
    problem, ideal_T = decoder.problem, decoder.values.ideal_T
    a = problem.arrays
    size_T = a.size_bytes_TH[np.arange(len(ideal_T)), ideal_T]
    result_TL = np.zeros((len(ideal_T), len(a.capacity_bytes_L)))
    for tier, capacity in enumerate(a.capacity_bytes_L.tolist()):
        mine_T = np.where(a.tier_H[ideal_T] == tier, size_T, 0)
        change_M = np.zeros(problem.op_count + 1, np.int64)
        np.add.at(change_M, a.start_T, mine_T)
        np.subtract.at(change_M, a.end_T, mine_T)
        highest_T = _range_max(change_M.cumsum(), a.start_T, np.maximum(a.end_T, a.start_T + 1))
        result_TL[:, tier] = _decades(highest_T / max(1, capacity))
    return result_TL


def _range_max(values_M: I64, start_T: I64, end_T: I64) -> I64:
    """The highest value of each half-open range, by a table of all ranges of 1, 2, 4, ..."""
    tables = [values_M]
    while 2 ** len(tables) <= len(values_M):
        half = 2 ** (len(tables) - 1)
        tables.append(np.maximum(tables[-1][:-half], tables[-1][half:]))
    level_T = np.floor(np.log2(end_T - start_T)).astype(np.int64)
    result_T = np.zeros(len(start_T), np.int64)
    for level, table in enumerate(tables):
        here = level_T == level
        result_T[here] = np.maximum(table[start_T[here]], table[end_T[here] - 2**level])
    return result_T
