"""Rectify: a placement that fits, made from one that does not by demoting tensors outwards.

Tier by tier from the innermost: the tensors of an overfull tier that are live at an op where it is
overfull move to the nearest tier outwards that may hold them, least time saved per byte first
(ties: larger, then earlier, then lower index), until it fits. Then those that turn out not to have
had to move go back, the last demoted first. A placement that fits is returned as it is. Only live
bytes are looked at; addresses are the allocator's.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from accelerator_sim.addresses import tier_buffers
from accelerator_sim.compiled import compiled
from accelerator_sim.incremental.state import END, START, STREAMED, Tables, build_tables
from accelerator_sim.infeasible import explain
from accelerator_sim.problem import PlacementProblem
from accelerator_sim.value import TensorValues, value_tensors
from graph_ir.errors import UnmetRequirementError

I64 = NDArray[np.int64]
I8 = NDArray[np.int8]


@dataclass(frozen=True, slots=True)
class Rectified:
    """A placement that fits.

    Attributes:
        homes_T: int8.
        moved_bytes: bytes of the tensors that changed tier.
        moved_share: of the bytes of all tensors, between 0 and 1.
    """

    homes_T: I8
    moved_bytes: int
    moved_share: float


@dataclass(frozen=True, slots=True)
class RectifiedBatch:
    """What became of P placements; those that cannot be made to fit are marked.

    Attributes:
        homes_PT: int8.
        moved_share_P: share of all bytes that changed tier.
        fits_P: False where demoting was not enough.
    """

    homes_PT: I8
    moved_share_P: NDArray[np.float64]
    fits_P: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Rectifier:
    """Rectifies placements of one problem; for callers that do it often.

    Attributes:
        tables: of the problem.
        values: of its tensors.
        bytes_T: int64, plain bytes of each tensor, 0 for aliases.
        ties_T: all tensors, larger first, then earlier, then lower index.
        outward_TH: int8, where a tensor goes from a home, or -1.
    """

    tables: Tables
    values: TensorValues
    bytes_T: I64
    ties_T: I64
    outward_TH: I8

    def batch(self, homes_PT: I8, capacity_bytes_L: I64 | None = None) -> RectifiedBatch:
        """Rectify P placements.

        Args:
            homes_PT: int8, allowed homes; not changed.
            capacity_bytes_L: to use instead of the accelerator's.
        """
        capacity = self.tables.capacity_bytes_L if capacity_bytes_L is None else capacity_bytes_L
        result = np.array(homes_PT, np.int8, order="C")
        fits_P = np.zeros(len(result), np.bool_)
        _rectify_all(
            result, self.tables, self.values.seconds_TH, self.outward_TH, self.ties_T,
            capacity, fits_P,
        )  # fmt: skip
        tier_H = self.tables.tier_H
        moved_PT = tier_H[result] != tier_H[np.asarray(homes_PT)]
        share_P = (moved_PT @ self.bytes_T) / max(1, int(self.bytes_T.sum()))
        return RectifiedBatch(result, share_P, fits_P)


def build_rectifier(
    problem: PlacementProblem, tables: Tables | None = None, values: TensorValues | None = None
) -> Rectifier:
    """The rectifier of a problem; tables and values where the caller has them already."""
    tables = build_tables(problem) if tables is None else tables
    values = value_tensors(problem, tables) if values is None else values
    tensors = problem.workload.tensors
    bytes_T = np.array([0 if t.alias_of is not None else t.size_bytes for t in tensors], np.int64)
    start_T = np.array([tensor.start for tensor in tensors], np.int64)
    ties_T = np.lexsort((start_T, -bytes_T))
    return Rectifier(tables, values, bytes_T, ties_T, _outward(problem, values))


def rectify(problem: PlacementProblem, homes_T: I8) -> Rectified:
    """A placement that fits, and what it took.

    Args:
        problem: the problem.
        homes_T: int8, an allowed home per tensor; not changed.

    Raises:
        UnmetRequirementError: demoting tensors outwards does not make it fit.
    """
    rectifier = build_rectifier(problem)
    batch = rectifier.batch(homes_T[np.newaxis, :])
    if not batch.fits_P[0]:
        raise _does_not_fit(problem, batch.homes_PT[0])
    tier_H = rectifier.tables.tier_H
    moved_T = tier_H[batch.homes_PT[0]] != tier_H[homes_T]
    return Rectified(
        batch.homes_PT[0], int(rectifier.bytes_T[moved_T].sum()), float(batch.moved_share_P[0])
    )


def _outward(problem: PlacementProblem, values: TensorValues) -> I8:
    """From each home, the best allowed home of the nearest tier further out; -1 for none."""
    tier_H, order_TK = problem.arrays.tier_H.astype(np.int64), values.order_TH.astype(np.int64)
    tier_TK = np.where(order_TK >= 0, tier_H[order_TK], -1)
    outward_TH = np.empty(problem.allowed_TH.shape, np.int8)
    tensors = np.arange(len(order_TK))
    for home, tier in enumerate(tier_H.tolist()):
        further_TK = np.where(tier_TK < tier, tier_TK, -1)
        # The first of those that share the largest: homes of a tier come in order.
        nearest_T = further_TK.argmax(axis=1)
        found_T = further_TK[tensors, nearest_T] >= 0
        outward_TH[:, home] = np.where(found_T, order_TK[tensors, nearest_T], -1)
    return outward_TH


def _does_not_fit(problem: PlacementProblem, homes_T: I8) -> UnmetRequirementError:
    """Which tier stays over its capacity, where, and what takes most of it."""
    kinds = {tensor.name: str(tensor.kind) for tensor in problem.workload.tensors}
    op_names = [op.name for op in problem.workload.ops]
    tiers = problem.accelerator.tiers
    for tier, buffers in zip(tiers, tier_buffers(problem, homes_T.tolist()), strict=True):
        why = explain(
            tier.name, buffers, int(tier.capacity_bytes.value), op_names=op_names, kinds=kinds
        )
        if why is not None:
            return why.to_error()
    return UnmetRequirementError("placement: demoting tensors outwards does not make it fit")


@compiled
def _rectify_all(
    homes_PT: I8,
    tables: Tables,
    seconds_TH: NDArray[np.float64],
    outward_TH: I8,
    ties_T: I64,
    capacity_bytes_L: I64,
    fits_P: NDArray[np.bool_],
) -> None:
    live_N = np.zeros(tables.op_MF.shape[0], np.int64)
    tier_count = capacity_bytes_L.shape[0]
    for p in range(homes_PT.shape[0]):
        # Demoting a weight may begin to stream it, and then the ring must fit as well.
        for _ in range(2):
            fits_P[p] = True
            for k in range(tier_count - 1, -1, -1):
                if not _rectify_tier(
                    homes_PT[p], k, tables, seconds_TH, outward_TH, ties_T,
                    capacity_bytes_L[k], live_N,
                ):  # fmt: skip
                    fits_P[p] = False


@compiled
def _streams(tables: Tables, homes_T: I8) -> bool:
    inner = tables.capacity_bytes_L.shape[0] - 1
    for t in range(homes_T.shape[0]):
        if tables.tensor_TF[t, STREAMED] > 0 and tables.tier_H[homes_T[t]] != inner:
            return True
    return False


@compiled
def _is_over(live_N: I64, start: int, end: int, limit: int) -> bool:
    for i in range(start, end):  # noqa: SIM110 - numba compiles no generators
        if live_N[i] > limit:
            return True
    return False


@compiled
def _rectify_tier(
    homes_T: I8,
    k: int,
    tables: Tables,
    seconds_TH: NDArray[np.float64],
    outward_TH: I8,
    ties_T: I64,
    capacity_bytes: int,
    live_N: I64,
) -> bool:
    """Demote out of one tier until it fits; whether it does."""
    tensor_count = homes_T.shape[0]
    op_count = tables.op_MF.shape[0] - 1
    limit = capacity_bytes
    if k == tables.capacity_bytes_L.shape[0] - 1 and _streams(tables, homes_T):
        limit -= tables.staging_bytes
    live_N[:] = 0
    for t in range(tensor_count):
        if tables.tier_H[homes_T[t]] == k:
            size = tables.size_bytes_TH[t, homes_T[t]]
            live_N[tables.tensor_TF[t, START]] += size
            live_N[tables.tensor_TF[t, END]] -= size
    for i in range(1, op_count):
        live_N[i] += live_N[i - 1]
    if not _is_over(live_N, 0, op_count, limit):
        return True
    candidates = np.empty(tensor_count, np.int64)
    cost = np.empty(tensor_count)
    count = 0
    for t in ties_T:
        home = homes_T[t]
        size = tables.size_bytes_TH[t, home]
        if tables.tier_H[home] == k and size > 0 and outward_TH[t, home] >= 0:
            candidates[count] = t
            cost[count] = (seconds_TH[t, outward_TH[t, home]] - seconds_TH[t, home]) / size
            count += 1
    order = np.argsort(cost[:count], kind="mergesort")
    came_from = homes_T.copy()
    demoted = np.empty(count, np.int64)
    demoted_count = 0
    for position in order:
        t = candidates[position]
        if _is_over(live_N, tables.tensor_TF[t, START], tables.tensor_TF[t, END], limit):
            size = tables.size_bytes_TH[t, homes_T[t]]
            live_N[tables.tensor_TF[t, START] : tables.tensor_TF[t, END]] -= size
            homes_T[t] = outward_TH[t, homes_T[t]]
            demoted[demoted_count] = t
            demoted_count += 1
    for position in range(demoted_count - 1, -1, -1):
        t = demoted[position]
        size = tables.size_bytes_TH[t, came_from[t]]
        if not _is_over(live_N, tables.tensor_TF[t, START], tables.tensor_TF[t, END], limit - size):
            live_N[tables.tensor_TF[t, START] : tables.tensor_TF[t, END]] += size
            homes_T[t] = came_from[t]
    return not _is_over(live_N, 0, op_count, limit)
