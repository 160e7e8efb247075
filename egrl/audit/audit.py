"""The audit: judge a plan, bound what any plan can reach, name the moves that recover most."""

from collections.abc import Sequence

from egrl.audit.addresses import check_addresses, pack
from egrl.audit.cost import CostTable, compile_costs
from egrl.audit.judge import demand_lines, overflows, tier_use
from egrl.audit.moves import best_moves
from egrl.audit.plan import IndexedPlan, TheirPlan, index_plan
from egrl.audit.problem import Problem
from egrl.audit.result import (
    AUDIT_SCHEMA,
    AuditResult,
    FoundPlan,
    JudgedPlan,
    MoveChange,
    RecoveringMove,
)
from egrl.audit.search import first_fit, repair
from egrl.audit.solve import Solution, solve
from egrl.audit.state import State, is_feasible
from graph_ir.errors import UnmetRequirementError

MOVES = 5
RELATIVE_GAP = 1e-3
TIME_LIMIT_S = 1.0


def audit(
    problem: Problem,
    plan: TheirPlan | None,
    *,
    plan_name: str = "plan",
    relative_gap: float = RELATIVE_GAP,
    time_limit_s: float = TIME_LIMIT_S,
) -> AuditResult:
    """Judges a plan under the problem's cost.

    The time of an op is `fixed_s + max(compute_s, largest load of a tier)`, where the load is the
    sum over the op's streams in that tier of traffic over bandwidth plus latency; or the measured
    time where one is given (`egrl.audit.cost`). Latency is the sum over the ops; live bytes stay
    within every capacity at every op.

    Args:
        problem: checked, as `read_problem` and `problem_from_parts` return it.
        plan: theirs, or None to judge a first-fit plan in its stead.
        plan_name: what to call it in errors.
        relative_gap: the search stops when its best plan is this close to the bound.
        time_limit_s: of the search. Equal runs give equal results unless this stops them.

    Raises:
        InputError: the plan names what the problem does not have, or leaves a tensor out.
        UnmetRequirementError: no plan fits the tiers at all. That *their* plan does not fit is
            a result (`AuditResult.plan.fits`).
    """
    table = compile_costs(problem)
    given = None if plan is None else index_plan(table, plan, plan_name)
    if given is None:
        stand_in = repair(table, first_fit(table))
        judged = IndexedPlan(tuple(stand_in), (None,) * len(stand_in))
    else:
        judged = given
    feasible = is_feasible(table, judged.homes)
    base = list(judged.homes) if feasible else repair(table, judged.homes)
    repaired = is_feasible(table, base)
    solution = solve(table, [base] if repaired else [], relative_gap, time_limit_s)
    if solution.homes is None or solution.seconds is None:
        raise _no_plan(table, solution)
    verdict = _judge(table, judged, "first-fit" if given is None else "given", solution.bound_s)
    repairs = _changes(table, judged.homes, base) if repaired and not feasible else []
    moves = _moves(table, base, verdict.latency_s) if repaired else []
    pins = {change.tensor: change.to_tier for change in repairs}
    pins.update({change.tensor: change.to_tier for move in moves for change in move.changes})
    source = solution.source
    if source == "given plan":
        source = "the repaired plan" if not feasible else "the judged plan"
    return AuditResult(
        schema=AUDIT_SCHEMA,
        problem=problem.name,
        ops=len(problem.ops),
        tensors=len(problem.tensors),
        bound_s=solution.bound_s,
        bound_status=solution.status,
        plan=verdict,
        best=FoundPlan(
            source=source,
            latency_s=solution.seconds,
            gap=_gap(solution.seconds, solution.bound_s),
            addresses_found=pack(table, solution.homes) is not None,
            homes={
                name: table.tier_names_M[home]
                for name, home in zip(table.tensor_names_T, solution.homes, strict=True)
            },
        ),
        closable_s=verdict.latency_s - solution.seconds if feasible else None,
        repair=repairs,
        moves=moves,
        pins=pins,
    )


def _judge(table: CostTable, plan: IndexedPlan, source: str, bound_s: float) -> JudgedPlan:
    over = overflows(table, plan.homes)
    misplaced = [
        table.tensor_names_T[tensor]
        for tensor, home in enumerate(plan.homes)
        if home not in table.allowed_T[tensor]
    ]
    faults, fault_count = check_addresses(table, plan)
    latency_s = table.seconds(plan.homes)
    counted = not over and not misplaced
    return JudgedPlan(
        source=source,
        fits=counted and fault_count == 0,
        latency_s=latency_s,
        gap=_gap(latency_s, bound_s) if counted else None,
        tiers=tier_use(table, plan.homes),
        overflows=over,
        misplaced=misplaced,
        address_faults=faults,
        address_fault_count=fault_count,
        addressed=sum(offset is not None for offset in plan.offsets),
    )


def _moves(table: CostTable, base: Sequence[int], judged_s: float) -> list[RecoveringMove]:
    state = State(table, base)
    latency_s = state.seconds
    homes = list(base)
    found: list[RecoveringMove] = []
    for move in best_moves(state, MOVES):
        changes = [
            MoveChange(
                table.tensor_names_T[tensor],
                table.tier_names_M[homes[tensor]],
                table.tier_names_M[tier],
            )
            for tensor, tier in move.changes
        ]
        for tensor, tier in move.changes:
            homes[tensor] = tier
        after_s = table.seconds(homes)
        gain_s = latency_s - after_s
        found.append(
            RecoveringMove(changes, gain_s, gain_s / judged_s if judged_s > 0 else 0.0, after_s)
        )
        latency_s = after_s
    return found


def _changes(table: CostTable, before: Sequence[int], after: Sequence[int]) -> list[MoveChange]:
    return [
        MoveChange(table.tensor_names_T[tensor], table.tier_names_M[old], table.tier_names_M[new])
        for tensor, (old, new) in enumerate(zip(before, after, strict=True))
        if old != new
    ]


def _gap(latency_s: float, bound_s: float) -> float | None:
    return latency_s / bound_s - 1 if bound_s > 0 else None


def _no_plan(table: CostTable, solution: Solution) -> UnmetRequirementError:
    if solution.status == "infeasible":
        what = "no plan fits the tiers: proven, even with every tensor free to move"
    else:
        what = "no plan that fits the tiers was found in the time; more time may find one"
    return UnmetRequirementError(what, demand_lines(table))
