"""Whether every byte is there when an op needs it: each plan here is sound but for one change."""

import msgspec
import pytest

from accelerator_sim.plan import IMAGE_TENSOR, STAGING_TENSOR, Copy, Plan, PlanTier
from accelerator_sim.validate import Verdict, find_violations
from tests.validate.plans import OPS, changed, hand_plan, moved, tensor, with_copy

replace = msgspec.structs.replace


def verdicts(plan: Plan) -> list[tuple[Verdict, str, str]]:
    return [(v.verdict, v.first, v.second) for v in find_violations(plan)]


def with_op(plan: Plan, index: int, **changes: object) -> Plan:
    ops = list(plan.ops)
    ops[index] = replace(ops[index], **changes)
    return replace(plan, ops=ops)


@pytest.mark.parametrize(
    ("index", "name", "op"),
    [(1, "w2", "op2"), (2, "w2", "op2"), (3, "w3", "op3"), (4, "w3", "op3")],
)
def test_every_slice_is_needed(index: int, name: str, op: str) -> None:
    plan = hand_plan()
    fewer = [copy for i, copy in enumerate(plan.copies) if i != index]
    assert verdicts(replace(plan, copies=fewer)) == [(Verdict.NOT_STREAMED, name, op)]


def test_slices_that_leave_a_byte_out() -> None:
    missing = [(Verdict.NOT_STREAMED, "w2", "op2")]
    assert verdicts(with_copy(hand_plan(), 1, size_bytes=511)) == missing
    assert verdicts(with_copy(hand_plan(), 1, from_offset=1025)) == missing
    assert verdicts(with_copy(hand_plan(), 2, from_offset=1535)) == missing
    # Twice is not wrong.
    more = with_copy(with_copy(hand_plan(), 1, size_bytes=500), 2, from_offset=1523)
    assert verdicts(with_copy(more, 2, size_bytes=525, to_offset=2547)) == []


def test_what_is_gathered_by_address_has_no_slices() -> None:
    plan = hand_plan()
    assert verdicts(replace(plan, copies=[c for c in plan.copies if c.tensor != "w2"])) == []


def test_slice_between_two_ops_that_read_it_counts_for_both() -> None:
    plan = with_op(hand_plan(), 3, reads=["c", "w3", "w2"])
    assert verdicts(plan) == []
    fewer = [copy for i, copy in enumerate(plan.copies) if i != 1]
    assert verdicts(replace(plan, copies=fewer)) == [(Verdict.NOT_STREAMED, "w2", "op2")]


def loading_plan() -> Plan:
    """The plan of four ops with a second weight that is loaded, in two halves."""
    plan = changed(hand_plan(), IMAGE_TENSOR, size_bytes=2048)
    copies = [
        Copy("w4", "dram", 5632 + at, "sram", 1536 + at, 224, 0, "load", 0, 0, "replicated")
        for at in (0, 224)
    ]
    w4 = tensor("w4", "weight", 448, "sram", 1536, 0, OPS, "replicated")
    plan = replace(plan, tensors=[*plan.tensors, w4], copies=[*plan.copies, *copies])
    return with_op(plan, 1, reads=["a", "w4"])


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        # w1 lies in the image's bytes [4096, 5596).
        ({5: {"from_offset": 5595}, 6: {"from_offset": 5819}}, (Verdict.OVERLAP, "w1", "w4")),
        ({5: {"from_offset": 5921}}, (Verdict.COPY_SOURCE, "w4", IMAGE_TENSOR)),
        # What is copied is in the image, what it is part of is not.
        ({5: {"from_offset": 5700}, 6: {"from_offset": 5920}},
         (Verdict.COPY_SOURCE, "w4", IMAGE_TENSOR)),
        ({6: {"from_offset": 5632}}, (Verdict.COPY_TARGET, "w4", "")),
        ({6: {"from_offset": 5855}}, (Verdict.COPY_TARGET, "w4", "")),
        # Enough bytes, but the same ones twice.
        ({6: {"from_offset": 5632, "to_offset": 1536}}, (Verdict.NOT_LOADED, "w4", "sram")),
        # The first third of its shares is not the first core's share.
        ({0: {"size_bytes": 1498}}, (Verdict.COPY_TARGET, "w1", "")),
    ],
)  # fmt: skip
def test_loads(changes: dict[int, dict[str, object]], expected: tuple[object, ...]) -> None:
    plan = loading_plan()
    assert verdicts(plan) == []
    for index, fields in changes.items():
        plan = with_copy(plan, index, **fields)
    assert expected in verdicts(plan)


def test_loads_that_end_where_the_next_begin() -> None:
    plan = loading_plan()
    for index, at in ((5, 0), (6, 224)):
        plan = with_copy(plan, index, from_offset=5596 + at)
    assert verdicts(plan) == []


@pytest.mark.parametrize(
    ("name", "mode", "expected"),
    [
        ("x", "replicated", (Verdict.BAD_MODE, "x", "dram")),
        ("w2", "partitioned", (Verdict.BAD_MODE, "w2", "dram")),
        ("c", "shared", (Verdict.BAD_MODE, "c", "sram")),
    ],
)
def test_modes_that_a_tier_cannot_have(name: str, mode: str, expected: tuple[object, ...]) -> None:
    assert verdicts(moved(hand_plan(), name, mode=mode)) == [expected]


def test_own_memory_of_a_single_core() -> None:
    a = tensor("a", "activation", 64, "inner", 0, 0, 1, "replicated")
    b = tensor("b", "activation", 64, "inner", 64, 0, 1, "partitioned")
    tiers = [PlanTier("outer", 128), PlanTier("inner", 128)]
    plan = Plan(1, tiers, [], [a, b], [])
    assert verdicts(plan) == []
    assert verdicts(moved(plan, "b", mode="shared")) == [(Verdict.BAD_MODE, "b", "a")]
    both = moved(moved(plan, "b", mode="shared"), "a", mode="shared")
    assert verdicts(both) == []
    # Where another memory is apart for every core, this one would be, too.
    many = replace(both, tiers=[*tiers, PlanTier("innermost", 64, 2)])
    assert verdicts(many) == []
    assert verdicts(moved(many, "a", mode="replicated")) == [(Verdict.BAD_MODE, "a", "inner")]
    assert verdicts(moved(plan, "a", tier="outer")) == [(Verdict.BAD_MODE, "a", "outer")]


def test_copy_that_waits_behind_a_later_one() -> None:
    plan = hand_plan()
    load, ahead, late, other, last = plan.copies
    swapped = replace(plan, copies=[load, late, ahead, other, last])
    assert verdicts(swapped) == [(Verdict.COPY_LATE, "w2", "w2")]
    swapped = replace(plan, copies=[load, other, ahead, late, last])
    assert verdicts(swapped) == [(Verdict.COPY_LATE, "w2", "w3")]
    assert verdicts(with_copy(swapped, 2, channel=1)) == []
    # Late behind it, but not too late.
    wide = with_copy(plan, 3, after_op=1)
    _, ahead, late, other, last = wide.copies
    assert verdicts(replace(wide, copies=[load, ahead, late, other, last])) == []


def test_inputs_are_there_from_the_beginning() -> None:
    plan = with_op(with_op(hand_plan(), 0, reads=["w1"]), 1, reads=["a", "x"])
    assert verdicts(plan) == []
    late = moved(plan, "x", start=1)
    assert verdicts(late) == [(Verdict.NOT_LIVE, "x", "op1")]
    # Delivered while the inference before runs.
    assert verdicts(moved(plan, "x", start=1, end=OPS + 1)) == []
    # What an op writes first is no input.
    assert verdicts(with_op(late, 0, reads=["w1"], writes=["a", "x"])) != []
    assert verdicts(with_op(late, 1, reads=["a", "x"], writes=["b", "x"])) == []


def test_outputs_are_there_at_the_end() -> None:
    plan = with_op(hand_plan(), 2, writes=["c", "y"])
    plan = with_op(moved(plan, "y", start=2), 3, writes=["x"])
    assert verdicts(plan) == []
    assert verdicts(moved(plan, "y", end=3)) == [(Verdict.NOT_LIVE, "y", "op2")]


def test_ring_that_ends_before_its_last_slice_was_used() -> None:
    plan = hand_plan()
    plan = with_op(replace(plan, copies=plan.copies[:3]), 3, reads=["c"])
    assert verdicts(moved(plan, STAGING_TENSOR, end=3)) == []
    early = with_copy(plan, 2, after_op=1, before_op=2)
    assert verdicts(moved(early, STAGING_TENSOR, end=3)) == []
    short = verdicts(moved(early, STAGING_TENSOR, end=2))
    assert short == [(Verdict.NOT_LIVE, STAGING_TENSOR, "w2")] * 2
