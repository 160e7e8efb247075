"""What the page shows of one case, as plain values for its JSON."""

from collections.abc import Iterator, Mapping
from math import fsum

import msgspec

from accelerator_sim.accelerator import Accelerator
from accelerator_sim.cost.mac_array.rates import relative_rate
from accelerator_sim.html.energy_parts import energy_parts
from accelerator_sim.html.limits import MAX_OPS, drawn, short, shown
from accelerator_sim.html.memory_data import memory_data
from accelerator_sim.html.timeline_data import timeline_data
from accelerator_sim.html.verdict import verdict
from accelerator_sim.html.waterfall import waterfall
from accelerator_sim.problem import PlacementProblem
from accelerator_sim.report import OpRow, Report
from accelerator_sim.report_case import ReportCase

Json = dict[str, object]

# A row of a source table: key path, value, origin, whether it is assumed.
SourceRow = tuple[str, float, str, bool]


def case_data(case: ReportCase) -> Json:
    """All of one case."""
    report = case.report
    return {
        "name": short(case.name),
        "note": shown(case.note),
        "headline": _headline(report),
        "verdict": verdict(report),
        "references": {name: report.references[name] for name in sorted(report.references)},
        "tiers": _tiers(case.problem.accelerator, report),
        "ops": _ops(report),
        "waterfall": [
            {"kind": s.kind, "name": short(s.name), "seconds": s.seconds, "count": s.count}
            for s in waterfall(report.ops, report.latency_s)
        ],
        "energy": [
            {"kind": part.kind, "name": part.name, "joules": part.energy_j}
            for part in energy_parts(case.problem, case.homes, case.timeline)
        ],
        "roofs": _roofs(case.problem),
        "timeline": timeline_data(case),
        "memory": memory_data(case),
        "caches": None if report.caches is None else msgspec.to_builtins(report.caches),
        "advice": [
            {"kind": a.kind, "text": shown(a.text), "latency_s": a.latency_s, "change": a.change}
            for a in case.advice
        ],
        "description": case.problem.accelerator.description,
        "approximate": list(case.problem.accelerator.approximate),
        "sources": [list(row) for row in _sources("", case.problem.accelerator)],
    }


def _headline(report: Report) -> Json:
    """The report's own numbers, not rounded."""
    names = (
        "model", "target", "execution_type", "placer", "latency_s", "cold_latency_s",
        "lower_bound_s", "gap", "best_known_s", "speedup_over_native",
        "speedup_over_best_reference", "best_reference", "gap_closed", "placement_matters",
        "energy_j",
    )  # fmt: skip
    result: Json = {name: getattr(report, name) for name in names}
    result["model"] = short(report.model)
    result["power_w"] = report.energy_j / report.latency_s if report.latency_s > 0 else None
    return result


def _tiers(accelerator: Accelerator, report: Report) -> list[Json]:
    return [
        {
            **msgspec.to_builtins(row),
            "scope": tier.scope,
            "read_bytes_per_s": tier.read_bytes_per_s.value,
            "write_bytes_per_s": tier.write_bytes_per_s.value,
        }
        for tier, row in zip(accelerator.tiers, report.tiers, strict=True)
    ]


def _ops(report: Report) -> Json:
    """The slowest ops in execution order, a list per column; and what was left out."""
    ranked = sorted(report.ops, key=lambda op: (-op.duration_s, op.index))
    rows = sorted(ranked[:MAX_OPS], key=lambda op: op.index)
    rest = ranked[MAX_OPS:]
    tiers = [tier.name for tier in report.tiers]
    return {
        "index": [op.index for op in rows],
        "name": [short(op.name) for op in rows],
        "family": [op.family for op in rows],
        "bound": [op.bound for op in rows],
        "split": [op.split for op in rows],
        "order": [op.loop_order for op in rows],
        "stall_tensor": [short(op.stall_tensor) for op in rows],
        **{
            column: [drawn(getattr(op, column)) for op in rows]
            for column in (
                "start_s", "duration_s", "mac_s", "vector_s", "fill_s", "stall_s", "utilization"
            )
        },
        "macs": [op.macs for op in rows],
        "bytes": [[op.traffic_bytes[name] for name in tiers] for op in rows],
        "homes": [_homes_text(op) for op in rows],
        "nodes": [len(op.nodes) for op in rows],
        "total": len(report.ops),
        "rest_s": fsum(op.duration_s for op in rest),
    }  # fmt: skip


def _homes_text(op: OpRow) -> list[str]:
    """Homes of the operands: how many tensors in each."""
    counts: dict[str, int] = {}
    for home in op.homes.values():
        counts[home] = counts.get(home, 0) + 1
    return [home if n == 1 else f"{n} {home}" for home, n in counts.items()]


def _roofs(problem: PlacementProblem) -> Json:
    """Peak rates of the array, for every pair of types that the workload multiplies."""
    accelerator = problem.accelerator
    array = accelerator.mac_array
    if array is None:
        return {"peaks": []}
    pairs = {
        f"{work.left_type}*{work.right_type}" for op in problem.workload.ops for work in op.mac_work
    }
    full = accelerator.core_count * array.macs_per_cycle * accelerator.clock_hz.value
    rates: Mapping[str, float] = {
        pair: relative_rate(array, *pair.split("*")) * full for pair in sorted(pairs)
    }
    return {"peaks": [[pair, rate] for pair, rate in rates.items()]}


def _sources(path: str, value: object) -> Iterator[SourceRow]:
    """Every number of the accelerator file that says where it comes from."""
    if isinstance(value, msgspec.Struct):
        yield from _struct_sources(path, value)
    elif isinstance(value, dict):
        for name, item in value.items():
            yield from _sources(f"{path}.{name}", item)
    elif isinstance(value, list):
        for position, item in enumerate(value):
            yield from _sources(f"{path}.{getattr(item, 'name', position)}", item)


def _struct_sources(path: str, value: msgspec.Struct) -> Iterator[SourceRow]:
    number = getattr(value, "value", None)
    if isinstance(number, int | float):
        assumed = bool(getattr(value, "assumed", False))
        parts = (getattr(value, "source", ""), getattr(value, "reason", ""))
        yield path, number, "; ".join(part for part in parts if part), assumed
        return
    for name in value.__struct_fields__:
        yield from _sources(f"{path}.{name}" if path else name, getattr(value, name))
