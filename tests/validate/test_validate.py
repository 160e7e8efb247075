import time

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from accelerator_sim.allocate import Buffer
from accelerator_sim.plan import Plan, PlanOp, PlanTensor, PlanTier, Residence
from accelerator_sim.validate import Verdict, check_plan, find_violations, validate_plan
from graph_ir.errors import EgrlError, InputError
from tests.allocate.strategies import buffer_lists, overlapping
from tests.validate.plans import OPS, changed, hand_plan, moved, plan_of, tensor, with_copy

TIMES = 12


def verdicts(plan: Plan) -> list[tuple[Verdict, str, str]]:
    return [(v.verdict, v.first, v.second) for v in find_violations(plan)]


@given(buffer_lists(alignments=(1, 16, 64), times=TIMES))
def test_every_allocation_is_accepted(buffers: list[Buffer]) -> None:
    assert find_violations(plan_of(buffers, TIMES)) == []


@given(buffer_lists(most=12, largest=100, times=TIMES), st.data())
def test_offsets_that_make_live_tensors_overlap_are_caught(
    buffers: list[Buffer], data: st.DataObject
) -> None:
    assume(len(buffers) > 1)
    plan = plan_of(buffers, TIMES)
    name = data.draw(st.sampled_from([b.name for b in buffers]))
    plan = moved(plan, name, offset=data.draw(st.integers(0, 300)))
    plan = msgspec.structs.replace(plan, tiers=[PlanTier("only", 10_000)])
    offsets = [t.residences[0].offset for t in plan.tensors]
    expected = {frozenset(pair) for pair in overlapping(buffers, offsets)}
    found = {frozenset((v.first, v.second)) for v in find_violations(plan, 1000)}
    # Only one tensor has moved, so that it is in every pair; each is found in some order.
    assert bool(found) == bool(expected)
    assert found <= expected
    assert all(name in pair for pair in found)


def test_hand_made_plan_is_sound() -> None:
    assert find_violations(hand_plan()) == []
    validate_plan(hand_plan())
    check_plan(hand_plan())


@pytest.mark.parametrize(
    ("name", "changes", "expected"),
    [
        ("c", {"offset": 1024}, (Verdict.OVERLAP, "b", "c")),
        ("a", {"offset": 499 // 64 * 64}, (Verdict.OVERLAP, "w1", "a")),
        ("a", {"offset": 513}, (Verdict.MISALIGNED, "a", "sram")),
        ("a", {"offset": -64}, (Verdict.NEGATIVE_OFFSET, "a", "sram")),
        ("b", {"offset": 3648}, (Verdict.OUTSIDE_CAPACITY, "b", "sram")),
        ("a", {"tier": "l2"}, (Verdict.UNKNOWN_TIER, "a", "l2")),
        ("a", {"mode": "shared"}, (Verdict.BAD_MODE, "a", "sram")),
        ("a", {"end": 1}, (Verdict.NOT_LIVE, "a", "op1")),
        ("b", {"start": 2}, (Verdict.NOT_LIVE, "b", "op1")),
        ("a", {"end": 0}, (Verdict.BAD_LIFETIME, "a", "")),
        ("a", {"start": -1}, (Verdict.BAD_LIFETIME, "a", "")),
        ("a", {"start": 4, "end": 5}, (Verdict.BAD_LIFETIME, "a", "")),
        ("a", {"end": 5}, (Verdict.BAD_LIFETIME, "a", "")),
        ("w3", {"end": 3}, (Verdict.BAD_LIFETIME, "w3", "")),
        ("w3", {"start": 1}, (Verdict.BAD_LIFETIME, "w3", "")),
        # Not split over the cores, the weight is three times as large.
        ("w1", {"mode": "replicated"}, (Verdict.OVERLAP, "w1", "a")),
    ],
)
def test_residences(name: str, changes: dict[str, object], expected: tuple[object, ...]) -> None:
    assert expected in verdicts(moved(hand_plan(), name, **changes))


def test_what_reaches_into_the_next_inference_is_live_at_its_start() -> None:
    plan = moved(hand_plan(), "c", end=OPS + 1)
    assert (Verdict.OVERLAP, "a", "c") in verdicts(plan)
    plan = moved(hand_plan(), "b", start=1, end=OPS + 1)
    assert verdicts(plan) == []
    # Live at op 0 of the next inference only.
    early = msgspec.structs.replace(
        plan, ops=[msgspec.structs.replace(plan.ops[0], writes=["a", "b"]), *plan.ops[1:]]
    )
    assert verdicts(early) == []
    assert (Verdict.NOT_LIVE, "b", "op0") in verdicts(moved(early, "b", end=OPS))


@pytest.mark.parametrize(
    ("name", "changes", "expected"),
    [
        ("a", {"residences": []}, (Verdict.NO_RESIDENCE, "a", "")),
        ("a", {"kind": "thing"}, (Verdict.BAD_VALUE, "a", "")),
        ("a", {"size_bytes": -1}, (Verdict.BAD_VALUE, "a", "")),
        ("a", {"alignment_bytes": 0}, (Verdict.BAD_VALUE, "a", "")),
        ("a", {"name": "b"}, (Verdict.DUPLICATE_NAME, "b", "")),
        ("a", {"size_bytes": 513}, (Verdict.OVERLAP, "a", "b")),
        ("b_view", {"alias_of": "zz"}, (Verdict.UNKNOWN_TENSOR, "b_view", "zz")),
        ("b_view", {"alias_offset": 257}, (Verdict.ALIAS_OUTSIDE, "b_view", "b")),
        ("b_view", {"alias_offset": -1}, (Verdict.ALIAS_OUTSIDE, "b_view", "b")),
        ("b_view", {"alias_of": "b_view"}, (Verdict.ALIAS_CYCLE, "b_view", "b_view")),
        ("b", {"alias_of": "b_view", "residences": []}, (Verdict.ALIAS_CYCLE, "b", "b_view")),
        ("b", {"alias_of": "a"}, (Verdict.ALIAS_RESIDENCE, "b", "")),
    ],
)
def test_tensors(name: str, changes: dict[str, object], expected: tuple[object, ...]) -> None:
    assert expected in verdicts(changed(hand_plan(), name, **changes))


@pytest.mark.parametrize(
    ("index", "changes", "expected"),
    [
        (1, {"reads": ["nothing"]}, (Verdict.UNKNOWN_TENSOR, "op1", "nothing")),
        (0, {"reads": ["b_view"]}, (Verdict.NOT_LIVE, "b_view", "op0")),
        (1, {"writes": ["w3"]}, (Verdict.CONSTANT_WRITTEN, "w3", "op1")),
        (1, {"writes": []}, (Verdict.NOT_WRITTEN, "b_view", "op2")),
        (1, {"split": "diagonal"}, (Verdict.BAD_VALUE, "op1", "")),
        (1, {"name": "op0"}, (Verdict.DUPLICATE_NAME, "op0", "")),
    ],
)
def test_ops(index: int, changes: dict[str, object], expected: tuple[object, ...]) -> None:
    plan = hand_plan()
    ops = list(plan.ops)
    ops[index] = msgspec.structs.replace(ops[index], **changes)
    assert expected in verdicts(msgspec.structs.replace(plan, ops=ops))


@pytest.mark.parametrize(
    ("index", "changes", "expected"),
    [
        (0, {"from_offset": 4160}, (Verdict.COPY_SOURCE, "w1", "@image")),
        (
            0,
            {"from_tier": "sram", "from_offset": 2048},
            (Verdict.COPY_SOURCE, "w1", "@image"),
        ),
        (0, {"to_offset": 64}, (Verdict.COPY_OVERWRITES, "w1", "a")),
        (0, {"to_offset": 1536}, (Verdict.COPY_TARGET, "w1", "")),
        (0, {"size_bytes": 1400}, (Verdict.NOT_LOADED, "w1", "sram")),
        (0, {"size_bytes": 0}, (Verdict.BAD_COPY, "w1", "")),
        (0, {"size_bytes": 1501}, (Verdict.BAD_COPY, "w1", "")),
        (0, {"mode": "replicated"}, (Verdict.COPY_OVERWRITES, "w1", "a")),
        (0, {"mode": "shared"}, (Verdict.BAD_MODE, "w1", "sram")),
        (0, {"tensor": "zz"}, (Verdict.UNKNOWN_TENSOR, "zz", "")),
        (0, {"tensor": "b_view"}, (Verdict.BAD_COPY, "b_view", "")),
        (0, {"to_tier": "zz"}, (Verdict.UNKNOWN_TIER, "w1", "zz")),
        (1, {"from_offset": 512}, (Verdict.COPY_SOURCE, "w2", "")),
        (1, {"from_offset": 1025 + 512}, (Verdict.COPY_SOURCE, "w2", "")),
        (1, {"before_op": 1}, (Verdict.BAD_COPY, "w2", "")),
        (1, {"after_op": 2, "before_op": 2}, (Verdict.BAD_COPY, "w2", "")),
        (1, {"after_op": -1}, (Verdict.BAD_COPY, "w2", "")),
        (1, {"after_op": 4, "before_op": 5}, (Verdict.BAD_COPY, "w2", "")),
        (1, {"channel": -1}, (Verdict.BAD_COPY, "w2", "")),
        (1, {"to_offset": 1024}, (Verdict.COPY_OVERWRITES, "w2", "b")),
        (1, {"to_offset": 3072}, (Verdict.COPY_OVERWRITES, "w2", "w3")),
        (1, {"to_offset": 1536, "after_op": 0, "before_op": 1}, (Verdict.COPY_TARGET, "w2", "")),
        (1, {"before_op": 3}, (Verdict.COPY_UNUSED, "w2", "")),
        # Over what waits for op 2 before op 2 begins, and before it ends.
        (3, {"to_offset": 2048, "after_op": 1}, (Verdict.COPY_OVERWRITES, "w2", "w3")),
        (3, {"to_offset": 2048}, (Verdict.COPY_OVERWRITES, "w2", "w3")),
        # The late slice of op 2 over what already waits for op 3.
        (2, {"to_offset": 3072}, (Verdict.COPY_OVERWRITES, "w3", "w2")),
    ],
)
def test_copies(index: int, changes: dict[str, object], expected: tuple[object, ...]) -> None:
    found = verdicts(with_copy(hand_plan(), index, **changes))
    assert expected in found or (expected[0], expected[2], expected[1]) in found


def test_late_slices_pass_over_what_their_own_op_had_fetched() -> None:
    assert verdicts(with_copy(hand_plan(), 2, to_offset=2048)) == []
    assert verdicts(with_copy(hand_plan(), 4, to_offset=3072)) == []


def test_late_slices_that_overlap_are_judged_by_all_their_bytes() -> None:
    plan = hand_plan()
    second = msgspec.structs.replace(plan.copies[2], to_offset=2816, channel=1)
    found = verdicts(msgspec.structs.replace(plan, copies=[*plan.copies, second]))
    assert found == [(Verdict.COPY_OVERWRITES, "w3", "w2")]


def test_share_of_a_core_is_rounded_up() -> None:
    tiers = [PlanTier("t", 1000, 3)]
    beside = tensor("b", "io", 8, "t", 500, 0, 1, "replicated", 1)
    for size, sound in ((1500, True), (1501, False)):
        split = tensor("a", "io", size, "t", 0, 0, 1, "partitioned", 1)
        assert (find_violations(Plan(1, tiers, [], [split, beside], [])) == []) == sound


def test_slice_that_waits_into_the_next_inference() -> None:
    # Fetched during op 3 for op 0 of the next inference.
    plan = hand_plan()
    ops = [msgspec.structs.replace(plan.ops[0], reads=["x", "w1", "w2"]), *plan.ops[1:]]
    plan = msgspec.structs.replace(plan, ops=ops)
    late = msgspec.structs.replace(plan.copies[2], after_op=0, before_op=1)
    ahead = msgspec.structs.replace(plan.copies[1], after_op=3, before_op=4, to_offset=2048)
    plan = msgspec.structs.replace(plan, copies=[plan.copies[0], late, *plan.copies[1:], ahead])
    assert verdicts(plan) == []
    clash = msgspec.structs.replace(plan.copies[1], after_op=0, before_op=2)
    plan = msgspec.structs.replace(plan, copies=[*plan.copies, clash])
    assert (Verdict.COPY_OVERWRITES, "w2", "w2") in verdicts(plan)


def test_tensor_that_moves_between_tiers() -> None:
    plan = hand_plan()
    there = Residence("dram", "shared", 1024, 0, 2)
    here = Residence("sram", "replicated", 3072, 1, 4)
    moving = PlanTensor("m", "state", 256, 64, None, 0, [
        msgspec.structs.replace(there, offset=8192, end=4), here
    ])  # fmt: skip
    tensors = [
        t if t.name != "@staging" else msgspec.structs.replace(t, size_bytes=1024)
        for t in plan.tensors
    ]
    # What was fetched ahead for op 3 comes late instead.
    copies = [
        c
        if c.to_offset != 3072
        else msgspec.structs.replace(c, to_offset=2048, after_op=3, before_op=4)
        for c in plan.copies
    ]
    plan = msgspec.structs.replace(plan, tensors=[*tensors, moving], copies=copies)
    move = msgspec.structs.replace(
        plan.copies[1], tensor="m", from_offset=8192, to_offset=3072, size_bytes=256, channel=1
    )
    good = msgspec.structs.replace(plan, copies=[*copies, move])
    assert verdicts(good) == []
    early = msgspec.structs.replace(move, after_op=0)
    assert (Verdict.COPY_TARGET, "m", "") in verdicts(
        msgspec.structs.replace(plan, copies=[*copies, early])
    )


@pytest.mark.parametrize(
    ("tiers", "expected"),
    [
        ([PlanTier("t", -1)], Verdict.BAD_VALUE),
        ([PlanTier("t", 1, 0)], Verdict.BAD_VALUE),
        ([PlanTier("t", 1), PlanTier("t", 2)], Verdict.DUPLICATE_NAME),
    ],
)
def test_tiers(tiers: list[PlanTier], expected: Verdict) -> None:
    plan = msgspec.structs.replace(hand_plan(), tiers=tiers)
    assert [v.verdict for v in find_violations(plan)] == [expected]


def test_messages_are_one_line_and_name_both() -> None:
    plan = changed(moved(hand_plan(), "c", offset=1024), "c", name="c\nd")
    with pytest.raises(InputError, match=r"overlap: 'b' and 'c\\nd': in sram: bytes") as caught:
        validate_plan(plan)
    assert "\n" not in str(caught.value)
    with pytest.raises(EgrlError, match="internal error") as internal:
        check_plan(plan)
    assert internal.value.exit_code == 1


def test_unknown_schema() -> None:
    plan = msgspec.structs.replace(hand_plan(), schema=99)
    assert [v.verdict for v in find_violations(plan)] == [Verdict.BAD_SCHEMA]


def test_plan_without_ops() -> None:
    tiers = [PlanTier("t", 100)]
    a = tensor("a", "weight", 64, "t", 0, 0, 0)
    b = tensor("b", "io", 32, "t", 0, 0, 0)
    assert find_violations(Plan(1, tiers, [], [a], [])) == []
    assert verdicts(Plan(1, tiers, [], [a, b], [])) == [(Verdict.OVERLAP, "a", "b")]


@pytest.mark.parametrize("offset", [0, 64])
def test_fifty_thousand_tensors_take_seconds(offset: int) -> None:
    n = 50_000
    tensors = [tensor(f"w{i}", "weight", 64, "t", 64 * i, 0, n, alignment=64) for i in range(n)]
    tensors.append(tensor("late", "activation", 64, "t", 64 * n - offset, n - 1, n))
    ops = [PlanOp(f"op{i}", [], "none", [f"w{i}"], []) for i in range(n)]
    begin = time.perf_counter()
    found = verdicts(Plan(1, [PlanTier("t", 64 * n + 64)], ops, tensors, []))
    assert found == ([(Verdict.OVERLAP, f"w{n - 1}", "late")] if offset else [])
    assert time.perf_counter() - begin < 20
