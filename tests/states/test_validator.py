"""The validator refuses plans that would read stale bytes of a state."""

import msgspec
import pytest

from accelerator_sim.plan import Plan, PlanOp
from accelerator_sim.validate import find_violations
from accelerator_sim.validate.violation import Verdict
from tests.validate.plans import hand_plan


def with_state(plan: Plan, writer: int) -> Plan:
    """The plan, its streamed `w3` being a state that an op writes."""
    tensors = [
        msgspec.structs.replace(t, kind="state") if t.name == "w3" else t for t in plan.tensors
    ]
    ops: list[PlanOp] = list(plan.ops)
    ops[writer] = msgspec.structs.replace(ops[writer], writes=[*ops[writer].writes, "w3"])
    return msgspec.structs.replace(plan, tensors=tensors, ops=ops)


def slices_of_w3(plan: Plan) -> list[int]:
    return [copy.after_op for copy in plan.copies if copy.tensor == "w3" and copy.phase == "steady"]


@pytest.mark.parametrize("writer", range(4))
def test_a_slice_fetched_before_its_state_is_written_is_stale(writer: int) -> None:
    plan = hand_plan()
    assert find_violations(plan) == []
    first = min(slices_of_w3(plan))
    verdicts = {found.verdict for found in find_violations(with_state(plan, writer))}
    # Op 3 reads it; an op that writes it itself has what it reads.
    expected = {Verdict.COPY_STALE} if first <= writer < 3 else set()
    assert verdicts == expected


def test_the_prefetch_that_is_stale_is_there() -> None:
    """The plan of the test above has a slice that is fetched ahead."""
    assert min(slices_of_w3(hand_plan())) < 3
