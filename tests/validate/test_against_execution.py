"""What the validator accepts runs right: plans changed at random, judged and executed."""

from pathlib import Path

import msgspec
import numpy as np
import pytest

from accelerator_sim.plan import Plan
from accelerator_sim.validate import find_violations
from runtime.arena import PlanViolationError
from runtime.check_plan import check_plan
from tests.runtime.tiny import OPS, resident_plan, save_tiny, tiny_inputs

ROUNDS = 250


def mutated(plan: Plan, rng: np.random.Generator) -> Plan:
    if rng.integers(2):
        return _with_other_copies(plan, rng)
    tensors = list(plan.tensors)
    at = int(rng.integers(len(tensors)))
    place = tensors[at].residences[0]
    offset = int(rng.choice([p.residences[0].offset for p in tensors]))
    changes: list[dict[str, object]] = [
        {"offset": max(0, offset + 64 * int(rng.integers(-1, 2)))},
        {"start": max(0, place.start + int(rng.integers(-1, 2)))},
        {"end": place.end + int(rng.integers(-1, 2))},
        {"mode": ["shared", "replicated", "partitioned"][rng.integers(3)]},
    ]
    change = changes[rng.integers(4)]
    tensors[at] = msgspec.structs.replace(
        tensors[at], residences=[msgspec.structs.replace(place, **change)]
    )
    return msgspec.structs.replace(plan, tensors=tensors)


def _with_other_copies(plan: Plan, rng: np.random.Generator) -> Plan:
    copies = list(plan.copies)
    at = int(rng.integers(len(copies)))
    copy = copies[at]
    kind = rng.integers(6)
    if kind == 0:
        del copies[at]
    elif kind == 1:
        copies.insert(int(rng.integers(len(copies))), copies.pop(at))
    else:
        step = 64 * int(rng.integers(-3, 4))
        change = [
            {"from_offset": max(0, copy.from_offset + step)},
            {"to_offset": max(0, copy.to_offset + step)},
            {"size_bytes": max(1, copy.size_bytes + step)},
            {
                "after_op": int(rng.integers(OPS)),
                "before_op": int(rng.integers(1, OPS + 2)),
                "channel": int(rng.integers(2)),
            },
        ][kind - 2]
        copies[at] = msgspec.structs.replace(copy, **change)
    return msgspec.structs.replace(plan, copies=copies)


def is_sound(model: Path, plan: Plan) -> bool:
    try:
        return check_plan(model, plan, tiny_inputs()).sound
    except PlanViolationError:
        return False


@pytest.mark.parametrize(("mode", "cores"), [("shared", 1), ("replicated", 3), ("partitioned", 3)])
def test_accepted_plans_run_right(tmp_path: Path, mode: str, cores: int) -> None:
    model = save_tiny(tmp_path)
    rng = np.random.default_rng(17)
    accepted = refused = 0
    for _ in range(ROUNDS):
        plan = resident_plan(mode, cores)
        for _ in range(int(rng.integers(1, 3))):
            plan = mutated(plan, rng) if plan.copies else plan
        if find_violations(plan):
            refused += 1
            continue
        accepted += 1
        assert is_sound(model, plan), msgspec.json.encode(plan)
    assert accepted >= 10
    assert refused >= 10
