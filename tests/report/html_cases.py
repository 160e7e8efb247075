"""Random workloads, placed without a search, as cases of an HTML report."""

import dataclasses
import functools

import msgspec
import numpy as np

from accelerator_sim.plan_builder import build_plan
from accelerator_sim.problem import PlacementProblem, build_problem
from accelerator_sim.report import CacheReport, CacheTierRow, ContextRow
from accelerator_sim.report_case import Advice, ReportCase
from accelerator_sim.targets import load_target
from egrl.bench.random_graphs import random_workload
from egrl.placement import IDEAL, REFERENCES, report_placement
from egrl.placers import PLACERS
from egrl.placers.base import Budget, PlacerResult
from egrl.placers.op_hull import floor_seconds
from graph_ir.errors import UnmetRequirementError
from graph_ir.workload import Workload

HOSTILE = (
    '</script><img src=x onerror="window.hacked=1">',
    "<b>bold</b>&amp;<!--",
    "';window.hacked=1;//",
    "\u2028\u2029\u202e\ud800$policy$data{b}",
    "__proto__",
)
"""What a file from outside may call its ops and tensors."""

ADVICE = (
    Advice("capacity", "4 MiB more SRAM", 1e-6, -0.12),
    Advice("tensor", f"keep {HOSTILE[0]} elsewhere", 1e-6, -0.05),
)


def renamed(workload: Workload, names: tuple[str, ...]) -> Workload:
    """The same ops and tensors under names that end in one of these."""

    def name(kind: str, index: int) -> str:
        return f"{kind}{index}{names[index % len(names)]}"

    return dataclasses.replace(
        workload,
        name=names[0],
        ops=tuple(dataclasses.replace(op, name=name("o", i)) for i, op in enumerate(workload.ops)),
        tensors=tuple(
            dataclasses.replace(tensor, name=name("t", i))
            for i, tensor in enumerate(workload.tensors)
        ),
    )


def _place(problem: PlacementProblem, placer: str) -> PlacerResult | None:
    try:
        return PLACERS[placer]().place(problem, Budget(evaluations=1), np.random.default_rng(0))
    except UnmetRequirementError:
        return None


def decoder_case() -> ReportCase:
    """A case whose report has caches; the last memory is never overflowed."""
    case = html_case(2, 40)
    caches = CacheReport(
        context=2048,
        cache_bytes=26 << 20,
        full_bytes=45 << 20,
        contexts=[ContextRow(held, 3.6e-3 + 2e-7 * held, 22_000 * held) for held in (128, 2048)],
        tiers=[
            CacheTierRow(tier.name, 1 << 20, 1000 - k, None if k == 2 else 2000 - k)
            for k, tier in enumerate(case.report.tiers)
        ],
    )
    return dataclasses.replace(case, report=msgspec.structs.replace(case.report, caches=caches))


@functools.lru_cache(maxsize=16)
def html_case(
    seed: int = 0,
    op_count: int = 24,
    target: str = "nnp-i",
    placer: str = "acts-first",
    *,
    hostile: bool = False,
    bound: bool = True,
) -> ReportCase:
    """A placed graph; `bound` takes the ideal memory's latency as its proven bound."""
    accelerator = load_target(target)
    workload = random_workload(op_count, np.random.default_rng(seed), accelerator.default_type)
    if hostile:
        workload = renamed(workload, HOSTILE)
    problem = build_problem(workload, accelerator)
    references = {name: found.latency_s for name in REFERENCES if (found := _place(problem, name))}
    references[IDEAL] = floor_seconds(problem)
    result = _place(problem, placer)
    assert result is not None
    if bound:
        result = dataclasses.replace(result, lower_bound_s=references[IDEAL])
    model = HOSTILE[0] if hostile else f"model{seed}"
    placed = report_placement(problem, placer, result, references, model)
    homes = tuple(placed.homes_T.tolist())
    plan = build_plan(problem, homes, placed.timeline)
    advice = ADVICE if hostile else ADVICE[:1]
    return ReportCase(model, "a note", placed.report, placed.timeline, problem, homes, plan, advice)
