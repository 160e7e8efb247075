"""States that are written: engine, twin, incremental evaluation, detailed model and plans agree."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelerator_sim.detailed import DetailedModel
from accelerator_sim.engine import evaluate
from accelerator_sim.plan import STAGING_TENSOR
from accelerator_sim.problem import PlacementProblem, build_problem
from accelerator_sim.reference_engine import simulate, uses_staging
from accelerator_sim.targets import load_target
from accelerator_sim.validate import find_violations
from graph_ir.workload import Op, Operand, OpFamily, Role, Tensor, TensorKind, Workload
from tests.accelerator_sim.cases import random_homes
from tests.accelerator_sim.test_incremental import check_moves
from tests.accelerator_sim.test_plan import planned
from tests.accelerator_sim.test_twin import check_twin
from tests.accelerator_sim.toy import toy
from tests.states.support import stateful_problems, stateful_workload

SEEDS = st.integers(0, 2**32 - 1)


@settings(max_examples=40)
@given(problem=stateful_problems(), seed=SEEDS)
def test_the_twin_says_what_the_engine_says(problem: PlacementProblem, seed: int) -> None:
    check_twin(problem, seed)


@settings(max_examples=30)
@given(problem=stateful_problems(), seed=SEEDS)
def test_every_move_is_timed_as_by_the_engine(problem: PlacementProblem, seed: int) -> None:
    check_moves(problem, seed, 8)


@settings(max_examples=30)
@given(problem=st.booleans().flatmap(lambda h: stateful_problems(honest=h)), seed=SEEDS)
def test_every_plan_is_sound(problem: PlacementProblem, seed: int) -> None:
    made = planned(problem, seed)
    if made is None:
        return
    _, homes, _, plan = made
    assert find_violations(plan) == []
    staged = [t for t in plan.tensors if t.name == STAGING_TENSOR]
    assert bool(staged) == uses_staging(problem, homes)
    names = {tensor.name: tensor for tensor in plan.tensors}
    for op, planned_op in zip(problem.workload.ops, plan.ops, strict=True):
        for operand in op.operands:
            tensor = problem.workload.tensors[operand.tensor]
            if tensor.written_as:
                assert names[tensor.written_as].alias_of == tensor.name
                if operand.is_write:
                    assert tensor.written_as in planned_op.writes
                    assert tensor.name in planned_op.reads
                elif operand.fresh:
                    assert tensor.written_as in planned_op.reads
            if operand.fresh and tensor.kind is TensorKind.STATE:
                writers = _writers(problem.workload, operand.tensor)
                assert min(writers) < problem.workload.ops.index(op)


def _writers(workload: Workload, tensor: int) -> list[int]:
    return [
        index
        for index, op in enumerate(workload.ops)
        if any(o.is_write and o.tensor == tensor for o in op.operands)
    ]


@settings(max_examples=25)
@given(problem=stateful_problems(), seed=SEEDS)
def test_writing_a_state_takes_its_home(problem: PlacementProblem, seed: int) -> None:
    """Without the writes, the home of a state is charged that much less."""
    workload = problem.workload
    is_state = [tensor.kind is TensorKind.STATE for tensor in workload.tensors]
    ops = tuple(
        replace(
            op, operands=tuple(o for o in op.operands if not (o.is_write and is_state[o.tensor]))
        )
        for op in workload.ops
    )
    silent = build_problem(replace(workload, ops=ops), problem.accelerator)
    homes = random_homes(problem, np.random.default_rng(seed), 1)[0].tolist()
    with_writes, without = simulate(problem, homes), simulate(silent, homes)
    for tier, (more, less) in enumerate(zip(with_writes.tiers, without.tiers, strict=True)):
        least = 0.0
        for op in workload.ops:
            for operand in op.operands:
                home = problem.homes[homes[operand.tensor]]
                if operand.is_write and is_state[operand.tensor] and home.tier == tier:
                    shares = problem.accelerator.core_count if home.mode == "partitioned" else 1
                    least += operand.traffic_bytes / shares
        assert more.written_bytes - less.written_bytes >= int(least) - 2 * len(workload.ops)


@settings(max_examples=8)
@given(seed=st.integers(0, 10_000), target=st.sampled_from(("nnp-i", "nnp-i-partitioned")))
def test_the_detailed_model_ranks_states_by_their_home(seed: int, target: str) -> None:
    """All states in the innermost tier that takes them are no slower than all in the outermost."""
    machine = load_target(target)
    workload = stateful_workload(seed, 10, machine.default_type, wide=False)
    problem = build_problem(workload, machine)
    outer = np.zeros(problem.tensor_count, np.int8)
    inner = outer.copy()
    for t, tensor in enumerate(workload.tensors):
        if tensor.kind is TensorKind.STATE and tensor.alias_of is None:
            inner[t] = int(np.flatnonzero(problem.allowed_TH[t])[1])
    model = DetailedModel(problem.workload, machine)
    slow, fast = (
        model.simulate([problem.homes[h] for h in homes.tolist()]).latency_s
        for homes in (outer, inner)
    )
    assert fast <= slow * 1.02
    assert evaluate(problem, inner)[0] <= evaluate(problem, outer)[0] * (1 + 1e-9)


def _two_ops(fresh: bool, writes_first: bool) -> Workload:
    """Op 0 writes 20 B of a 100 B state, op 1 reads all of it; each takes 10 s of arithmetic."""
    flag = Operand(1, Role.OTHER, 0)
    write = (flag, Operand(0, Role.OUTPUT, 20)) if writes_first else (flag,)
    ops = (
        Op("a", OpFamily.ELEMENTWISE, ("a",), write, (), 10, 1, 1, "linear", "int8"),
        Op(
            "b", OpFamily.ELEMENTWISE, ("b",), (Operand(0, Role.OTHER, 100, (), 0, fresh),), (),
            10, 1, 1, "linear", "int8",
        ),
    )  # fmt: skip
    state = Tensor("s", TensorKind.STATE, (100,), "int8", 100, 0, 2)
    return Workload("two", "int8", ops, (state, Tensor("x", TensorKind.IO, (0,), "int8", 0, 0, 1)))


@pytest.mark.parametrize(
    ("fresh", "writes_first", "expected_s"),
    [
        # Streamed at 10 B/s: 10 s behind the arithmetic of its own op.
        (False, False, 20.0),
        # Op 0 writes 20 B at 10 B/s behind its arithmetic; op 1 reads from its home.
        (True, True, 20.0),
    ],
)
def test_by_hand(fresh: bool, writes_first: bool, expected_s: float) -> None:
    problem = build_problem(_two_ops(fresh, writes_first), toy(slice_bytes=1, ring_bytes=60))
    latency_s, _ = evaluate(problem, np.zeros(2, np.int8))
    assert latency_s == pytest.approx(expected_s)
    assert uses_staging(problem, [0, 0]) == (not fresh)


def test_what_was_written_is_not_fetched_ahead() -> None:
    """20 s of reading: prefetching hides 10 s of it behind op 0, unless op 0 writes the state."""
    machine = toy(slice_bytes=1, ring_bytes=200)
    for fresh, expected_s in ((False, 20.0), (True, 30.0)):
        workload = _two_ops(fresh, fresh)
        state = replace(workload.tensors[0], size_bytes=200, shape=(200,))
        read = replace(workload.ops[1].operands[0], traffic_bytes=200)
        ops = (workload.ops[0], replace(workload.ops[1], operands=(read,)))
        problem = build_problem(
            replace(workload, ops=ops, tensors=(state, workload.tensors[1])), machine
        )
        assert evaluate(problem, np.zeros(2, np.int8))[0] == pytest.approx(expected_s)
