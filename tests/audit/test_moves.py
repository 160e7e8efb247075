from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from egrl.audit.cost import compile_costs
from egrl.audit.moves import best_move, best_moves, improving_moves
from egrl.audit.parts import problem_from_parts
from egrl.audit.problem import ProblemOp, ProblemTensor, ProblemTier, Stream
from egrl.audit.search import first_fit, improve, outermost, repair, round_shares
from egrl.audit.state import State, is_feasible, live_bytes
from tests.audit.oracle import direct_feasible, problems


def random_homes(table, data):
    return [data.draw(st.sampled_from(tiers)) for tiers in table.allowed_T]


def names_of(problem, homes):
    return {
        tensor.name: problem.tiers[home].name
        for tensor, home in zip(problem.tensors, homes, strict=True)
    }


@given(problem=problems(max_ops=6, max_tensors=8), data=st.data())
def test_feasibility_is_that_of_the_definition(problem, data):
    table = compile_costs(problem)
    homes = random_homes(table, data)
    assert is_feasible(table, homes) == direct_feasible(problem, names_of(problem, homes))


@given(problem=problems(max_ops=6, max_tensors=8), data=st.data())
def test_state_keeps_up_with_changes(problem, data):
    table = compile_costs(problem)
    state = State(table, random_homes(table, data))
    for _ in range(3):
        tensors = data.draw(
            st.lists(st.integers(0, len(problem.tensors) - 1), min_size=1, max_size=3, unique=True)
        )
        changes = [(t, data.draw(st.sampled_from(table.allowed_T[t]))) for t in tensors]
        before = list(state.homes)
        after = list(before)
        for tensor, tier in changes:
            after[tensor] = tier
        gain = table.seconds(before) - table.seconds(after)
        assert state.gain(changes) == pytest.approx(gain, abs=1e-9)
        if is_feasible(table, before):
            assert state.fits(changes) == is_feasible(table, after)
        assert state.homes == before
        assert (state.live_MN == live_bytes(table, before)).all()
        state.apply(changes)
        assert state.homes == after
        assert (state.live_MN == live_bytes(table, after)).all()
        assert state.seconds == pytest.approx(table.seconds(after), abs=1e-9)


@given(problem=problems(max_ops=6, max_tensors=8))
def test_proposed_moves_fit_gain_and_never_touch_a_tensor_twice(problem):
    table = compile_costs(problem)
    homes = list(first_fit(table))
    state = State(table, homes)
    touched = set()
    for move in best_moves(state, 5):
        before = table.seconds(homes)
        for tensor, tier in move.changes:
            assert tensor not in touched
            assert homes[tensor] != tier
            touched.add(tensor)
            homes[tensor] = tier
        assert direct_feasible(problem, names_of(problem, homes))
        assert before - table.seconds(homes) == pytest.approx(move.gain_s, abs=1e-9)
        assert move.gain_s > 0
    assert state.homes == homes


@given(problem=problems(max_ops=5, max_tensors=6), data=st.data())
@settings(max_examples=80)
def test_the_best_move_is_at_least_the_best_single_or_pair(problem, data):
    """Every single move and every promotion with one tenant leaving, by looking at all of them."""
    table = compile_costs(problem)
    homes = random_homes(table, data)
    if not is_feasible(table, homes):
        homes = outermost(table)
    now = table.seconds(homes)
    best = 0.0
    steps = [(t, m) for t, tiers in enumerate(table.allowed_T) for m in tiers if m != homes[t]]
    for one, other in product(steps, [None, *steps]):
        if other is not None and (one[0] == other[0] or homes[other[0]] != one[1]):
            continue
        alone = list(homes)
        alone[one[0]] = one[1]
        if other is not None and (
            is_feasible(table, alone) or table.seconds(alone) >= now - 1e-9 * now
        ):
            continue  # a pair is for a tensor that gains and does not fit alone
        changed = list(alone)
        if other is not None:
            changed[other[0]] = other[1]
        if is_feasible(table, changed):
            best = max(best, now - table.seconds(changed))
    state = State(table, homes)
    move = best_move(state)
    found = 0.0 if move is None else move.gain_s
    assert found >= best - 1e-6 * max(1.0, now)
    assert state.homes == list(homes)


def two_tier(capacity_bytes, sizes, traffic):
    tensors = [ProblemTensor(f"t{i}", "weight", size, 0, 1) for i, size in enumerate(sizes)]
    ops = [ProblemOp("op", reads=[Stream(f"t{i}", b) for i, b in enumerate(traffic)])]
    tiers = [ProblemTier("outer", 1.0, 1.0), ProblemTier("inner", 100.0, 100.0, capacity_bytes)]
    return compile_costs(problem_from_parts(tiers, tensors, ops))


def test_a_swap_is_found():
    table = two_tier(10, [10, 10], [50.0, 5.0])
    [move] = improving_moves(State(table, [0, 1]), groups=False)
    assert move.changes == ((0, 1), (1, 0))


def test_a_tensor_gets_in_past_three_tenants():
    table = two_tier(12, [12, 4, 4, 4], [500.0, 5.0, 6.0, 7.0])
    state = State(table, [0, 1, 1, 1])
    assert improving_moves(state, groups=False) == []
    move = best_move(state)
    assert move is not None
    assert sorted(move.changes) == [(0, 1), (1, 0), (2, 0), (3, 0)]
    assert move.gain_s == pytest.approx(500.0 - 18.0)


def test_a_tenant_that_dies_before_the_last_full_op_makes_no_room_alone():
    tensors = [
        ProblemTensor("new", "weight", 10, 0, 2),
        ProblemTensor("early", "activation", 10, 0, 1),
        ProblemTensor("late", "activation", 10, 1, 2),
    ]
    ops = [
        ProblemOp("a", reads=[Stream("new", 500.0), Stream("early", 1.0)]),
        ProblemOp("b", reads=[Stream("late", 1.0)]),
    ]
    tiers = [ProblemTier("outer", 1.0, 1.0), ProblemTier("inner", 100.0, 100.0, 10)]
    state = State(compile_costs(problem_from_parts(tiers, tensors, ops)), [0, 1, 1])
    move = best_move(state)
    assert move is not None
    assert sorted(move.changes) == [(0, 1), (1, 0), (2, 0)]
    assert improving_moves(state, groups=False) == []


def test_no_more_tenants_leave_than_needed():
    table = two_tier(12, [8, 2, 10], [500.0, 0.1, 50.0])
    move = best_move(State(table, [0, 1, 1]))
    assert move is not None
    assert move.changes == ((0, 1), (2, 0))


def three_tier(middle_bytes, inner_bytes, sizes, traffic):
    count = len(sizes)
    tensors = [ProblemTensor(f"t{i}", "weight", size, 0, count) for i, size in enumerate(sizes)]
    ops = [ProblemOp(f"op{i}", reads=[Stream(f"t{i}", b)]) for i, b in enumerate(traffic)]
    tiers = [
        ProblemTier("outer", 1.0, 1.0),
        ProblemTier("middle", 10.0, 10.0, middle_bytes),
        ProblemTier("inner", 100.0, 100.0, inner_bytes),
    ]
    return compile_costs(problem_from_parts(tiers, tensors, ops))


def test_a_swap_into_a_place_that_is_too_small_is_no_move():
    """The newcomer leaves 5 bytes in the middle; the tenant of 8 cannot take them."""
    table = three_tier(5, 10, [5, 8], [100.0, 99.0])
    assert best_move(State(table, [1, 2])) is None


def test_tenants_that_leave_together_must_fit_together():
    """Either tenant fits the 5 bytes in the middle, both do not; the outer tier costs more."""
    table = three_tier(5, 8, [8, 4, 4], [300.0, 290.0, 290.0])
    state = State(table, [0, 2, 2])
    for move in improving_moves(state):
        assert state.fits(move.changes)


def test_a_tensor_that_made_room_is_not_moved_again():
    table = three_tier(10, 10, [10, 10, 10], [1000.0, 20.0, 10.0])
    state = State(table, [0, 2, 1])
    moves = best_moves(state, 5)
    assert [move.changes for move in moves] == [((0, 2), (1, 0))]
    assert best_move(state) is not None  # there would be more to gain by moving it again


def test_nothing_to_gain():
    table = two_tier(20, [10, 10], [50.0, 5.0])
    assert best_move(State(table, [1, 1])) is None


@given(problem=problems(max_ops=6, max_tensors=8), data=st.data())
def test_searches_keep_what_they_promise(problem, data):
    table = compile_costs(problem)
    start = outermost(table)
    assert is_feasible(table, start)
    assert is_feasible(table, first_fit(table))
    better = improve(table, start)
    assert is_feasible(table, better)
    assert table.seconds(better) <= table.seconds(start) * (1 + 1e-9)
    shares = [
        [data.draw(st.sampled_from([0.0, 0.3, 1.0])) for _ in problem.tiers]
        for _ in table.allowed_T
    ]
    assert is_feasible(table, round_shares(table, shares))


@given(problem=problems(max_ops=6, max_tensors=8), data=st.data())
def test_repair_makes_a_plan_fit_and_leaves_one_that_fits(problem, data):
    """With an unbounded outermost tier that may hold everything, a repair always exists."""
    table = compile_costs(problem)
    homes = [data.draw(st.integers(0, len(problem.tiers) - 1)) for _ in problem.tensors]
    repaired = repair(table, homes)
    assert is_feasible(table, repaired)
    if is_feasible(table, homes):
        assert repaired == homes


def test_repair_moves_what_costs_least_for_its_bytes():
    table = two_tier(10, [6, 6, 4], [60.0, 6.0, 40.0])
    assert repair(table, [1, 1, 1]) == [1, 0, 1]
    per_byte = two_tier(10, [9, 3], [9.0, 4.0])
    assert repair(per_byte, [1, 1]) == [0, 1]


def test_first_fit_takes_the_weights_of_an_op_before_its_output():
    problem = problem_from_parts(
        [ProblemTier("outer", 1.0, 1.0), ProblemTier("inner", 9.0, 9.0, 10)],
        [
            ProblemTensor("out", "activation", 10, 0, 1),
            ProblemTensor("w", "weight", 10, 0, 1),
        ],
        [ProblemOp("op", reads=[Stream("w", 1.0)], writes=[Stream("out", 1.0)])],
    )
    assert first_fit(compile_costs(problem)) == [0, 1]
