"""Turn the traced simulation of a plan into its report."""

from collections.abc import Mapping, Sequence

from accelerator_sim.problem import PlacementProblem
from accelerator_sim.reference_engine import uses_staging
from accelerator_sim.report import REPORT_SCHEMA, OpRow, Report, TierRow
from accelerator_sim.timeline import OpTrace, TierUse, Timeline
from graph_ir.workload import Op, TensorKind

STATED_REFERENCES = ("all-outermost", "native", "acts-first", "greedy")
"""The placements that a speed-up is stated over: cheap, deterministic, described in DESIGN.md."""

IDEAL = "ideal"
"""The reference with an unlimited innermost tier: a floor, not a placement."""

MATTERS_ABOVE = 0.02
"""Relative gap between best reference and bound below which placement does not matter."""

BOUND_TOLERANCE = 1e-4
"""A latency below the bound by more than this, relative, is a bug and not rounding."""


def build_report(
    problem: PlacementProblem,
    homes: Sequence[int],
    timeline: Timeline,
    *,
    model: str,
    placer: str,
    references: Mapping[str, float],
    lower_bound_s: float | None,
    best_known_s: float,
) -> Report:
    """Build the report of one plan.

    Args:
        problem: workload and accelerator.
        homes: home index of every tensor.
        timeline: the traced simulation of these homes.
        model: name to report.
        placer: that chose the homes.
        references: latency in seconds by placer, `ideal` among them; infeasible ones left out.
        lower_bound_s: proven for every plan of the problem, or None.
        best_known_s: best latency that anything found in this run.

    Raises:
        ValueError: the plan is faster than the bound, so one of the two is wrong.
    """
    latency_s = timeline.latency_s
    # Searches hand over numpy's scalars, which no JSON encoder takes.
    references = {name: float(seconds) for name, seconds in references.items()}
    lower_bound_s = None if lower_bound_s is None else float(lower_bound_s)
    if lower_bound_s is not None and latency_s < lower_bound_s * (1 - BOUND_TOLERANCE):
        raise ValueError(f"latency {latency_s} s is below its proven bound {lower_bound_s} s")
    stated = {name: references[name] for name in STATED_REFERENCES if name in references}
    best_reference = min(stated, key=lambda name: (stated[name], name), default="")
    best_s = stated.get(best_reference)
    floor_s = references.get(IDEAL) if lower_bound_s is None else lower_bound_s
    native_s = references.get("native")
    matters = _matters(timeline.latency_s, best_s, floor_s)
    return Report(
        schema=REPORT_SCHEMA,
        model=model,
        target=problem.accelerator.name,
        execution_type=problem.workload.execution_type,
        placer=placer,
        latency_s=latency_s,
        cold_latency_s=timeline.cold_latency_s,
        lower_bound_s=lower_bound_s,
        gap=_gap(latency_s, lower_bound_s),
        best_known_s=min(float(best_known_s), latency_s),
        references=references,
        speedup_over_native=_ratio(native_s, latency_s),
        speedup_over_best_reference=_ratio(best_s, latency_s),
        best_reference=best_reference,
        gap_closed=_gap_closed(latency_s, best_s, floor_s) if matters else None,
        placement_matters=matters,
        energy_j=timeline.energy_j,
        groups=problem.accelerator.groups,
        throughput_per_s=problem.accelerator.groups / latency_s if latency_s > 0 else 0.0,
        tiers=_tier_rows(problem, homes, timeline.tiers),
        ops=[
            _op_row(problem, homes, index, op, trace)
            for index, (op, trace) in enumerate(
                zip(problem.workload.ops, timeline.ops, strict=True)
            )
        ],
    )


def _ratio(reference_s: float | None, latency_s: float) -> float | None:
    if reference_s is None:
        return None
    return reference_s / latency_s if latency_s > 0 else 1.0


def _gap(latency_s: float, lower_bound_s: float | None) -> float | None:
    """Latency over bound minus 1; a solver's rounding below 0 is 0."""
    if lower_bound_s is None or lower_bound_s <= 0:
        return None
    return max(0.0, latency_s / lower_bound_s - 1)


def _matters(latency_s: float, best_s: float | None, floor_s: float | None) -> bool:
    """Whether a better plan than this one or the best reference could be worth having."""
    if best_s is None or floor_s is None:
        return True
    return max(latency_s, best_s) > floor_s * (1 + MATTERS_ABOVE)


def _gap_closed(latency_s: float, best_s: float | None, floor_s: float | None) -> float | None:
    if best_s is None or floor_s is None or best_s <= floor_s:
        return None
    return (best_s - latency_s) / (best_s - floor_s)


def _tier_rows(
    problem: PlacementProblem, homes: Sequence[int], uses: Sequence[TierUse]
) -> list[TierRow]:
    weights_L, activations_L = residents(problem, homes)
    return [
        TierRow(
            name=use.name,
            capacity_bytes=use.capacity_bytes,
            peak_bytes=use.peak_bytes,
            read_bytes=use.read_bytes,
            written_bytes=use.written_bytes,
            busy_fraction=use.busy_fraction,
            resident_weight_bytes=weights_L[tier],
            peak_activation_bytes=max(activations_L[tier], default=0),
        )
        for tier, use in enumerate(uses)
    ]


def residents(problem: PlacementProblem, homes: Sequence[int]) -> tuple[list[int], list[list[int]]]:
    """Bytes (per core in a per-core tier) that each tier holds.

    Returns:
        Weights and states by tier, which are there all the time; and all other live bytes by tier
        and op index. The staging ring is in neither.
    """
    size_TH = problem.arrays.size_bytes_TH
    tiers = len(problem.accelerator.tiers)
    weights_L = [0] * tiers
    # Difference arrays: one step up at the start, one down at the end of every lifetime.
    steps_L = [[0] * (problem.op_count + 1) for _ in range(tiers)]
    for t, tensor in enumerate(problem.workload.tensors):
        tier = problem.homes[homes[t]].tier
        size = int(size_TH[t, homes[t]])
        if tensor.kind in (TensorKind.WEIGHT, TensorKind.STATE):
            weights_L[tier] += size
        elif tensor.start < tensor.end:
            steps_L[tier][tensor.start] += size
            steps_L[tier][min(tensor.end, problem.op_count)] -= size
    live_L = []
    for steps in steps_L:
        live, row = 0, []
        for step in steps[: problem.op_count]:
            live += step
            row.append(live)
        live_L.append(row)
    return weights_L, live_L


def staging_bytes(problem: PlacementProblem, homes: Sequence[int]) -> int:
    """Size of the ring that these homes reserve in the innermost tier."""
    used = uses_staging(problem, homes)
    return problem.accelerator.streaming.staging_bytes if used else 0


def _op_row(
    problem: PlacementProblem, homes: Sequence[int], index: int, op: Op, trace: OpTrace
) -> OpRow:
    tensors = problem.workload.tensors
    return OpRow(
        index=index,
        name=trace.name,
        family=trace.family,
        nodes=list(op.nodes),
        start_s=trace.start_s,
        duration_s=trace.end_s - trace.start_s,
        split=trace.split,
        loop_order=trace.loop_order,
        mac_s=trace.mac_s,
        vector_s=trace.vector_s,
        resource_s=dict(trace.resource_s),
        fill_s=trace.fill_s,
        stall_s=trace.stall_s,
        stall_tensor=trace.stall_tensor,
        bound=trace.bound,
        macs=trace.macs,
        utilization=trace.utilization,
        traffic_bytes=dict(trace.traffic_bytes),
        homes={
            tensors[operand.tensor].name: problem.home_name(homes[operand.tensor])
            for operand in op.operands
        },
    )
