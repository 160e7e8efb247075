"""One simulated plan with all that a report may show of it."""

from dataclasses import dataclass

from accelerator_sim.plan import Plan
from accelerator_sim.problem import PlacementProblem
from accelerator_sim.report import Report
from accelerator_sim.timeline import Timeline


@dataclass(frozen=True, slots=True)
class Advice:
    """One change and what it would bring, found by placing and simulating again.

    Attributes:
        kind: `capacity`, `bandwidth`, `precision`, `tensor` (a floor: one tensor moved, room or
            not), or `placement` (the same machine, placed better).
        text: what to change, for people ("4 MiB more SRAM").
        latency_s: with that change.
        change: relative to the plan's latency; -0.12 is 12 % less.
    """

    kind: str
    text: str
    latency_s: float
    change: float


@dataclass(frozen=True, slots=True)
class ReportCase:
    """One graph, placed and simulated.

    Attributes:
        name: of the source, and of its graph.
        note: what a reader must know, or "".
        report: latency, bound, references, rows.
        timeline: traced.
        problem: workload and accelerator.
        homes: a home per tensor.
        plan: addresses, lifetimes, copies.
        advice: most worthwhile first; empty where none was asked for.
    """

    name: str
    note: str
    report: Report
    timeline: Timeline
    problem: PlacementProblem
    homes: tuple[int, ...]
    plan: Plan
    advice: tuple[Advice, ...] = ()
