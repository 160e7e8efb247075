import pytest
from hypothesis import given, settings

from egrl.audit.bound import branch, floor_seconds, relax
from egrl.audit.bound_model import build_program, maximal_live_sets
from egrl.audit.cost import compile_costs
from egrl.audit.parts import problem_from_parts
from egrl.audit.problem import ProblemOp, ProblemTensor, ProblemTier
from egrl.audit.search import outermost
from egrl.audit.solve import solve
from tests.audit.oracle import direct_feasible, direct_optimum, direct_seconds, problems

SLACK = 1e-5


def named(table, homes):
    return {
        name: table.tier_names_M[home]
        for name, home in zip(table.tensor_names_T, homes, strict=True)
    }


@pytest.mark.parametrize("table_limit", [0, 12, 10_000])
@given(problem=problems())
@settings(max_examples=40)
def test_optimum_of_the_program_is_the_optimum_of_the_problem(problem, table_limit):
    table = compile_costs(problem)
    program = build_program(table, 10.0, table_limit, 10_000)
    optimum = direct_optimum(problem)
    solved = branch(table, program, None, 0.0, 20.0)
    assert solved.finished
    assert optimum is not None
    assert solved.homes is not None
    homes = named(table, solved.homes)
    assert direct_feasible(problem, homes)
    assert direct_seconds(problem, homes) == pytest.approx(optimum, rel=SLACK, abs=SLACK)
    assert solved.seconds <= optimum * (1 + 1e-12)
    assert solved.seconds == pytest.approx(optimum, rel=SLACK, abs=SLACK * 10)


@given(problem=problems(outer_unbounded=False))
def test_bounded_everywhere_finds_the_optimum_or_says_that_nothing_fits(problem):
    table = compile_costs(problem)
    optimum = direct_optimum(problem)
    solution = solve(table, [], 0.0, 20.0)
    if optimum is None:
        assert solution.status == "infeasible"
        assert solution.homes is None
        return
    assert solution.seconds == pytest.approx(optimum, rel=SLACK, abs=SLACK)
    assert solution.bound_s <= optimum * (1 + 1e-12)


@given(problem=problems())
def test_relaxation_and_floor_are_lower_bounds(problem):
    table = compile_costs(problem)
    optimum = direct_optimum(problem)
    program = build_program(table, 10.0, 0, 10_000)
    assert floor_seconds(table) <= optimum * (1 + 1e-12)
    assert relax(table, program, 10.0).seconds <= optimum * (1 + 1e-12)


@given(problem=problems())
def test_a_plan_is_a_point_of_the_program(problem):
    """The start that is handed to the solver satisfies every row and costs what the plan costs."""
    table = compile_costs(problem)
    homes = outermost(table)
    for limit in (0, 100):
        program = build_program(table, 7.0, limit, 10_000)
        point = program.point(table, homes)
        for row in range(program.row_count):
            span = slice(program.row_start[row], program.row_start[row + 1])
            value = sum(
                point[column] * entry
                for column, entry in zip(
                    program.row_columns[span], program.row_values[span], strict=True
                )
            )
            assert program.row_lower[row] - 1e-9 <= value <= program.row_upper[row] + 1e-9
        cost = program.offset + sum(c * x for c, x in zip(program.cost, point, strict=True))
        assert cost * program.unit_s == pytest.approx(table.seconds(homes), abs=1e-9)
        assert program.homes(table, point) == tuple(homes)


@given(problem=problems(max_ops=6, max_tensors=8))
def test_maximal_live_sets_cover_every_op_and_none_contains_another(problem):
    table = compile_costs(problem)
    members = list(range(len(problem.tensors)))
    found = [frozenset(live) for live in maximal_live_sets(table, members)]
    for op in range(len(problem.ops)):
        live = {t for t in members if table.start_T[t] <= op < table.end_T[t]}
        assert any(live <= other for other in found)
    for index, one in enumerate(found):
        assert not any(one <= other for other in found[:index] + found[index + 1 :])


def test_too_large_a_program_is_not_built():
    problem = problem_from_parts(
        [ProblemTier("outer", 1.0, 1.0, 5), ProblemTier("inner", 2.0, 2.0, 5)],
        [ProblemTensor(f"t{i}", "weight", 1, 0, 1) for i in range(4)],
        [ProblemOp("op")],
    )
    assert build_program(compile_costs(problem), 1.0, 12, 3) is None


def test_fractions_that_fit_but_no_plan():
    """Three tensors of 2 in two tiers of 3: the relaxation fits, whole tensors do not."""
    problem = problem_from_parts(
        [ProblemTier("outer", 1.0, 1.0, 3), ProblemTier("inner", 2.0, 2.0, 3)],
        [ProblemTensor(f"t{i}", "weight", 2, 0, 1) for i in range(3)],
        [ProblemOp("op")],
    )
    solution = solve(compile_costs(problem), [], 0.0, 5.0)
    assert solution.status == "infeasible"
