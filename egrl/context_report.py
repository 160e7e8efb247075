"""What a report says of a decoder's caches: latency by length, bytes, and where they overflow."""

from collections.abc import Sequence

import msgspec
import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from accelerator_sim.engine import evaluate
from accelerator_sim.problem import PlacementProblem, build_problem
from accelerator_sim.report import CacheReport, CacheTierRow, ContextRow, Report
from graph_ir.datatypes import BITS
from graph_ir.kv.operator import cached_attention, is_cached_attention
from graph_ir.lower import lower
from graph_ir.workload import TensorKind, Workload

SHARES = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 3 / 4, 1)
"""Lengths of a sequence at which a token is timed, of the longest."""


def with_caches(
    report: Report,
    model: ir.Model,
    problem: PlacementProblem,
    homes_T: NDArray[np.int8],
    context: int,
) -> Report:
    """The report of the graph that adds a token, with what it says of the caches.

    Args:
        report: of the placement.
        model: the graph, with its states in its metadata.
        problem: of its workload, at full caches.
        homes_T: the placement.
        context: positions that a sequence may have.
    """
    return msgspec.structs.replace(
        report, caches=cache_report(report, model, problem, homes_T, context)
    )


def cache_report(
    report: Report,
    model: ir.Model,
    problem: PlacementProblem,
    homes_T: NDArray[np.int8],
    context: int,
) -> CacheReport:
    """What the report says of the caches; arguments as of `with_caches`."""
    workload = problem.workload
    full_bytes = full_cache_bytes(model, workload, context)
    return CacheReport(
        context=context,
        cache_bytes=workload.state_bytes,
        full_bytes=full_bytes,
        contexts=context_rows(model, problem, homes_T, lengths(context)),
        tiers=_tier_rows(model, problem, homes_T, context, full_bytes),
    )


def lengths(context: int) -> list[int]:
    """Positions held at which a token is timed, rising."""
    return sorted({max(1, round(share * context)) for share in SHARES})


def context_rows(
    model: ir.Model, problem: PlacementProblem, homes_T: NDArray[np.int8], positions: Sequence[int]
) -> list[ContextRow]:
    """A token's latency by the same placement, with caches that hold so many positions."""
    accelerator = problem.accelerator
    streamed = frozenset(accelerator.streamed_views)
    names = [tensor.name for tensor in problem.workload.tensors]
    rows = []
    for held in positions:
        lowered = lower(
            model, problem.workload.name, problem.workload.execution_type, streamed, held
        )
        workload = lowered.workload
        assert [tensor.name for tensor in workload.tensors] == names  # Only their traffic differs.
        latency_s, _ = evaluate(build_problem(workload, accelerator), homes_T)
        rows.append(ContextRow(held, latency_s, _read_bytes(workload)))
    return rows


def _read_bytes(workload: Workload) -> int:
    return sum(
        operand.traffic_bytes
        for op in workload.ops
        for operand in op.operands
        if workload.tensors[operand.tensor].kind is TensorKind.STATE and not operand.is_write
    )


def full_cache_bytes(model: ir.Model, workload: Workload, context: int) -> int:
    """Bytes of caches that keep everything, in the execution type.

    Of a graph without `CachedAttention` nothing is known to be dropped: the bytes of its states.
    """
    nodes = [cached_attention(node) for node in model.graph if is_cached_attention(node)]
    if not nodes:
        return workload.state_bytes
    elements = sum(n.kv_heads * context * (n.head_width + n.value_width) for n in nodes)
    return elements * BITS[workload.execution_type] // 8


def _tier_rows(
    model: ir.Model,
    problem: PlacementProblem,
    homes_T: NDArray[np.int8],
    context: int,
    full_bytes: int,
) -> list[CacheTierRow]:
    growing = _growing_bytes(model, problem.workload)
    fixed = problem.workload.state_bytes - growing
    accelerator, size_TH = problem.accelerator, problem.arrays.size_bytes_TH
    kept_L = [0] * len(accelerator.tiers)
    for t, tensor in enumerate(problem.workload.tensors):
        if tensor.kind is TensorKind.STATE:
            kept_L[problem.homes[homes_T[t]].tier] += int(size_TH[t, homes_T[t]])
    rows = []
    for tier, kept in zip(accelerator.tiers, kept_L, strict=True):
        room = 0.0 if tier.read_only else tier.capacity_bytes.value
        if tier.scope == "shared":
            room /= accelerator.groups  # every group of cores has its own sequence
        elif "replicated" not in tier.weight_modes:
            room *= accelerator.core_count
        rows.append(
            CacheTierRow(
                tier.name,
                kept,
                int(room * context // full_bytes),
                int(max(0.0, room - fixed) * context // growing) if growing else None,
            )
        )
    return rows


def _growing_bytes(model: ir.Model, workload: Workload) -> int:
    """Bytes of the caches that keep every position; of the others no length changes them."""
    fixed = {
        (node.inputs[before] or node.outputs[0]).name
        for node in model.graph
        if is_cached_attention(node)
        for group in cached_attention(node).groups
        if group.kept.is_fixed
        for before, _ in group.states
    }
    states = [t for t in workload.tensors if t.kind is TensorKind.STATE]
    return sum(t.size_bytes for t in states if t.name not in fixed)
