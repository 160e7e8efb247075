"""Rows that nobody measured, for tests of the document."""

from egrl.bench.agent.rows import Reference, Rows, Run


def reference(case: str, best_s: float = 1.0, exact_gap: float = 0.1) -> Reference:
    """A problem whose `native` takes 2 s."""
    return Reference(
        case=case,
        ops=10,
        tensors=20,
        tiers=["DRAM", "SRAM"],
        native_s=2.0,
        bound_s=0.9,
        best_s=best_s,
        seconds=60.0,
        exact_s=1.0 + exact_gap,
        exact_bound_s=1.0,
        plan="01",
        auto_plan="01",
    )


def run(
    part: str,
    case: str,
    method: str,
    seed: int,
    curve: list[tuple[float, float]],
    budget: float = 4000.0,
    native_s: float = 2.0,
) -> Run:
    """A run with this curve."""
    return Run(
        part=part,
        case=case,
        method=method,
        seed=seed,
        native_s=native_s,
        budget=budget,
        latency_s=curve[-1][1] if curve else None,
        evaluations=int(budget),
        seconds=1.0,
        curve=curve,
        moved_bytes=[[1, 2], [3, 4]],
        moved_tensors=[[1, 0], [0, 1]],
    )


def rows(*entries: Reference | Run) -> Rows:
    """Rows of these."""
    return Rows(
        {e.case: e for e in entries if isinstance(e, Reference)},
        {e.key: e for e in entries if isinstance(e, Run)},
    )
