"""The report of a compiled or simulated plan: `NAME.report.json`."""

import msgspec

REPORT_SCHEMA = 1


class TierRow(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One memory (per core where it is a per-core tier)."""

    name: str
    capacity_bytes: int
    peak_bytes: int
    read_bytes: int
    written_bytes: int
    busy_fraction: float
    resident_weight_bytes: int
    peak_activation_bytes: int


class OpRow(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One op: times in seconds, traffic in bytes by tier, homes by tensor name."""

    index: int
    name: str
    family: str
    nodes: list[str]
    start_s: float
    duration_s: float
    split: str
    loop_order: str
    mac_s: float
    vector_s: float
    resource_s: dict[str, float]
    fill_s: float
    stall_s: float
    stall_tensor: str
    bound: str
    macs: int
    utilization: float
    traffic_bytes: dict[str, int]
    homes: dict[str, str]


class ContextRow(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One token at a length of its sequence, by the same placement.

    Attributes:
        context: positions that the caches hold when its step begins.
        latency_s: of the step.
        read_bytes: of the caches.
    """

    context: int
    latency_s: float
    read_bytes: int


class CacheTierRow(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One memory (per core where it is a per-core tier).

    Attributes:
        name: of the tier.
        cache_bytes: of the caches that this placement keeps there.
        full_context: positions up to which all caches would fit there, were nothing else there
            and did every head keep everything; they overflow it beyond.
        kept_context: likewise with the heads as they are; null where no length overflows it.
    """

    name: str
    cache_bytes: int
    full_context: int
    kept_context: int | None


class CacheReport(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The caches of a decoder.

    Attributes:
        context: positions that a sequence may have.
        cache_bytes: of all caches, as the target stores them.
        full_bytes: that caches would take in which every head keeps every position, in the
            execution type.
        contexts: latency of a token by length of the sequence, rising.
        tiers: from outermost to innermost.
    """

    context: int
    cache_bytes: int
    full_bytes: int
    contexts: list[ContextRow]
    tiers: list[CacheTierRow]


class Report(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Latency, bounds, references and where the time goes.

    Attributes:
        schema: `REPORT_SCHEMA`.
        model: stem of the source file, or name of the graph.
        target: name of the accelerator.
        execution_type: default type of the lowering.
        placer: that made the plan.
        latency_s: steady state.
        cold_latency_s: first inference.
        lower_bound_s: proven, or null where none was computed.
        gap: latency over bound minus 1, or null.
        best_known_s: best latency that any placer found in this run.
        references: latency in seconds by placer; `all-outermost`, `native`, `acts-first`, `greedy`
            and `ideal` always. A placer that found nothing feasible is left out.
        speedup_over_native: native latency over latency; null where native found nothing feasible
            (pins can fill a tier that it needs).
        speedup_over_best_reference: best of the stated references (without `ideal`) over latency;
            null where none found anything feasible.
        best_reference: its name, or "".
        gap_closed: share of (best reference - bound) that was closed, the bound being
            `lower_bound_s` or else `ideal`; null where the gap is below 2 %.
        placement_matters: False where plan, best reference and bound are within 2 %.
        energy_j: of one inference.
        groups: inferences at a time, each on cores of its own; 1 in latency mode.
        throughput_per_s: inferences a second.
        tiers: from outermost to innermost.
        ops: in execution order.
        evaluator: command of the machine that the placer searched on; left out without one, as
            are the three below. All else is the engine's.
        measured_s: latency of the plan by that machine; left out where it could not measure it.
        measured_reference: placer whose plan it was given beside it, `native` where that fits.
        measured_reference_s: latency of that plan by that machine.
        caches: of the graph with which a decoder adds a token; left out elsewhere.
        alone_s: latency with homes of its own, of a decoder's graph that was placed after the
            other, whose homes of weights and caches it shares; left out elsewhere.
    """

    schema: int
    model: str
    target: str
    execution_type: str
    placer: str
    latency_s: float
    cold_latency_s: float
    lower_bound_s: float | None
    gap: float | None
    best_known_s: float
    references: dict[str, float]
    speedup_over_native: float | None
    speedup_over_best_reference: float | None
    best_reference: str
    gap_closed: float | None
    placement_matters: bool
    energy_j: float
    groups: int
    throughput_per_s: float
    tiers: list[TierRow]
    ops: list[OpRow]
    evaluator: str | None = None
    measured_s: float | None = None
    measured_reference: str | None = None
    measured_reference_s: float | None = None
    caches: CacheReport | None = None
    alone_s: float | None = None
