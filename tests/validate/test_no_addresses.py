"""A placement without addresses: the error says what is missing and what would help."""

from collections.abc import Sequence

import pytest
from msgspec.structs import replace

from accelerator_sim.accelerator import Accelerator
from accelerator_sim.allocate import Allocation, Buffer, allocate
from accelerator_sim.plan_builder import build_plan
from accelerator_sim.problem import PlacementProblem, build_problem
from accelerator_sim.reference_engine import simulate
from accelerator_sim.targets import load_target
from graph_ir.errors import UnmetRequirementError
from graph_ir.workload import Op, Operand, OpFamily, Role, Tensor, TensorKind, Workload
from tests.accelerator_sim.machines import quantity

UNIT = 1 << 18
# Never more than 7 units are live at once, and no arrangement within 7 exists.
LIVES = (
    (0, 1, 6), (1, 2, 2), (0, 3, 1), (2, 3, 1), (1, 4, 4), (3, 4, 2), (2, 5, 1), (4, 5, 1),
    (4, 5, 5),
)  # fmt: skip


def problem_of(lives: Sequence[tuple[int, int, int]], capacity_bytes: int) -> PlacementProblem:
    """Activations that live as they are told, and an LLC of that capacity."""
    tensors = tuple(
        Tensor(
            f"a{i}", TensorKind.ACTIVATION, (units * UNIT // 2,), "fp16", units * UNIT, start, end
        )
        for i, (start, end, units) in enumerate(lives)
    )
    ops = tuple(
        Op(
            f"op{i}", OpFamily.ELEMENTWISE, (f"n{i}",),
            tuple(
                Operand(t, Role.OUTPUT if tensor.start == i else Role.OTHER, tensor.size_bytes)
                for t, tensor in enumerate(tensors)
                if tensor.start <= i < tensor.end
            ),
            (), UNIT, 1, UNIT, "vector", "fp16",
        )
        for i in range(max(end for _, end, _ in lives))
    )  # fmt: skip
    return build_problem(Workload("w", "fp16", ops, tensors), with_llc(capacity_bytes))


def with_llc(capacity_bytes: int) -> Accelerator:
    target = load_target("nnp-i")
    llc = replace(target.tiers[1], capacity_bytes=quantity(capacity_bytes))
    return replace(target, tiers=[target.tiers[0], llc, *target.tiers[2:]])


def error_of(problem: PlacementProblem) -> UnmetRequirementError:
    homes = [1] * problem.tensor_count
    with pytest.raises(UnmetRequirementError) as caught:
        build_plan(problem, homes, simulate(problem, homes))
    assert caught.value.exit_code == 3
    assert "\n" not in str(caught.value)
    return caught.value


def test_more_is_live_than_there_is() -> None:
    error = error_of(problem_of(LIVES, 6 * UNIT))
    assert str(error).startswith(f"LLC: {7 * UNIT} bytes are needed at op 'op")
    assert str(error).endswith(f"capacity is {6 * UNIT} ({UNIT} too few)")
    assert "Largest contributors:" in error.details
    assert f"  'a0' (activation): {6 * UNIT} bytes" in error.details
    assert f"What would help: a capacity of at least {7 * UNIT} bytes" in error.details
    assert "What would help: pinning tensors to a tier further out than LLC" in error.details


def test_no_more_is_live_than_there_is_but_it_cannot_be_arranged() -> None:
    error = error_of(problem_of(LIVES, 7 * UNIT))
    assert str(error) == (
        f"LLC: proven: there are no addresses for 9 buffers within {7 * UNIT} bytes, though no "
        f"more is live at once; {8 * UNIT} bytes are enough ({UNIT} more)"
    )
    assert "all arrangements were refuted" in error.details[0]
    assert error.details[2] == f"  'a0' (activation): {6 * UNIT} bytes"
    assert f"What would help: a capacity of {8 * UNIT} bytes" in error.details


def test_eight_units_are_enough() -> None:
    problem = problem_of(LIVES, 8 * UNIT)
    homes = [1] * problem.tensor_count
    assert build_plan(problem, homes, simulate(problem, homes)).tensors


def _hardly_searched(buffers: Sequence[Buffer], capacity_bytes: int) -> Allocation:
    return allocate(buffers, capacity_bytes, 1)


def test_search_that_ends_early_claims_no_proof(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("accelerator_sim.addresses.allocate", _hardly_searched)
    error = error_of(problem_of(LIVES, 7 * UNIT))
    assert "LLC: no addresses were found in 1 search nodes for 9 buffers" in str(error)
    assert f"it is not proven that {7 * UNIT} are too few" in error.details[0]
