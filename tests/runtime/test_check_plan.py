from pathlib import Path

import msgspec
import numpy as np
import pytest

from accelerator_sim.plan import Plan, Residence
from accelerator_sim.validate import validate_plan
from graph_ir.errors import InputError
from runtime.arena import POISON, PlanViolationError
from runtime.check_plan import CheckResult, Flip, check_plan
from runtime.op_runner import OpRunner
from tests.runtime.tiny import (
    ACTIVATION_BYTES,
    DRAM,
    OPS,
    SRAM,
    WEIGHT_BYTES,
    resident_plan,
    save_tiny,
    tiny_inputs,
    tiny_plan,
)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("model"))


def check(model: Path, plan: Plan, flip: Flip | None = None) -> CheckResult:
    return check_plan(model, plan, tiny_inputs(), flip)


def moved(plan: Plan, name: str, **changes: object) -> Plan:
    """The plan with one tensor's only residence changed."""
    tensors = [
        msgspec.structs.replace(
            tensor, residences=[msgspec.structs.replace(tensor.residences[0], **changes)]
        )
        if tensor.name == name
        else tensor
        for tensor in plan.tensors
    ]
    return msgspec.structs.replace(plan, tensors=tensors)


def test_sound_plan_gives_the_same_bytes(model: Path) -> None:
    result = check(model, tiny_plan())
    assert result.sound
    assert [difference.exact for difference in result.differences] == [True]
    assert (result.scale, result.ops, result.gathered_operands) == (1, OPS, 0)
    # Four ops, two of them products of equal shape.
    assert result.sessions == 3
    # Up to the highest used byte of each tier, no more.
    assert result.host_bytes == 2 * WEIGHT_BYTES + 2 * ACTIVATION_BYTES + 2 * ACTIVATION_BYTES


def test_half_precision_plan_is_dilated(model: Path) -> None:
    result = check(model, tiny_plan("fp16"))
    assert result.sound
    assert result.scale == 2


@pytest.mark.parametrize(("mode", "cores"), [("shared", 1), ("replicated", 3), ("partitioned", 3)])
def test_image_ring_and_cores(model: Path, mode: str, cores: int) -> None:
    result = check(model, resident_plan(mode, cores))
    assert result.sound
    assert result.differences[0].exact
    assert result.streamed_bytes == WEIGHT_BYTES
    assert (result.gathered_operands > 0) == (mode == "partitioned")


@pytest.mark.parametrize(
    ("tier", "byte", "op"),
    [
        pytest.param(DRAM, 3, 0, id="weight"),
        pytest.param(DRAM, 2 * WEIGHT_BYTES + 7, 0, id="input"),
        pytest.param(SRAM, 3, 1, id="activation"),
        pytest.param(SRAM, 3, 3, id="reused slot"),
        pytest.param(DRAM, 2 * WEIGHT_BYTES + ACTIVATION_BYTES + 3, OPS, id="output"),
    ],
)
def test_one_flipped_byte_changes_the_output(model: Path, tier: str, byte: int, op: int) -> None:
    assert not check(model, tiny_plan(), Flip(tier, byte, op)).differences[0].exact


@pytest.mark.parametrize("mode", ["replicated", "partitioned"])
@pytest.mark.parametrize("byte", [3, WEIGHT_BYTES + 4 * ACTIVATION_BYTES + 3])
def test_a_flipped_byte_of_resident_weight_or_ring_changes_the_output(
    model: Path, mode: str, byte: int
) -> None:
    op = 0 if byte == 3 else 2
    result = check(model, resident_plan(mode, 3), Flip(SRAM, byte, op))
    assert not result.differences[0].exact


@pytest.mark.parametrize(
    ("tier", "byte", "op"),
    [
        pytest.param(SRAM, 3, 0, id="before it is written"),
        pytest.param(DRAM, 3, 1, id="weight after its only use"),
        pytest.param(SRAM, ACTIVATION_BYTES + 3, 3, id="after it died"),
    ],
)
def test_a_flipped_dead_byte_changes_nothing(model: Path, tier: str, byte: int, op: int) -> None:
    assert check(model, tiny_plan(), Flip(tier, byte, op)).differences[0].exact


@pytest.mark.parametrize("byte", [-1, 1 << 30])
def test_flip_outside_the_used_bytes_is_refused(model: Path, byte: int) -> None:
    with pytest.raises(InputError, match="not used by the plan"):
        check(model, tiny_plan(), Flip(SRAM, byte, 0))


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        pytest.param("b", {"offset": ACTIVATION_BYTES - 64}, id="two activations"),
        pytest.param("b", {"offset": 0}, id="output on its op's input"),
        pytest.param("w2", {"offset": WEIGHT_BYTES - 4}, id="two weights"),
        pytest.param("y", {"offset": 2 * WEIGHT_BYTES + 4}, id="output on input"),
        pytest.param("a", {"tier": DRAM, "offset": WEIGHT_BYTES}, id="activation on weight"),
    ],
)
def test_overlap_is_caught_by_validator_and_by_execution(
    model: Path, name: str, changes: dict[str, object]
) -> None:
    plan = moved(tiny_plan(), name, **changes)
    with pytest.raises(InputError):
        validate_plan(plan)
    result = check(model, plan)
    assert not result.sound


def test_memory_is_poison_before_first_use_and_after_death(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[np.ndarray] = []
    run = OpRunner.run

    def watched(runner: OpRunner, index: int) -> None:
        seen.append(runner._arena.tiers_CB[SRAM][0].copy())
        run(runner, index)

    monkeypatch.setattr(OpRunner, "run", watched)
    check(model, tiny_plan())
    first, second = slice(0, ACTIVATION_BYTES), slice(ACTIVATION_BYTES, 2 * ACTIVATION_BYTES)
    poisoned = [((s[first] == POISON).all(), (s[second] == POISON).all()) for s in seen]
    # `a`, then `c` in the first slot; `b` in the second: the state in which each op finds them.
    assert poisoned == [(True, True), (False, True), (True, False), (False, True)]


def test_bytes_of_dead_residences_do_not_live_on(model: Path) -> None:
    plan = tiny_plan()
    x = next(tensor for tensor in plan.tensors if tensor.name == "x")
    # Dies before `add` and is said to live on at the same place, but nothing brings it there.
    places = [
        msgspec.structs.replace(x.residences[0], start=start, end=end)
        for start, end in ((0, 3), (3, OPS))
    ]
    tensors = [
        msgspec.structs.replace(tensor, residences=places) if tensor is x else tensor
        for tensor in plan.tensors
    ]
    assert not check(model, msgspec.structs.replace(plan, tensors=tensors)).sound


def test_reading_before_anything_was_written_gives_poison(model: Path) -> None:
    plan = tiny_plan()
    # Nobody writes `a`, where `relu` looks for it.
    ops = [msgspec.structs.replace(plan.ops[0], reads=["x", "w1"]), *plan.ops[1:]]
    swapped = msgspec.structs.replace(plan, ops=[ops[1], ops[0], *ops[2:]])
    result = check(model, moved(moved(swapped, "b", start=0), "a", start=0))
    assert not result.sound


def test_ring_slot_given_away_too_early_corrupts_the_output(model: Path) -> None:
    plan = resident_plan("replicated", 3)
    ring = plan.copies[1].to_offset
    # A slice for `mm2` waits in the ring while another weight's slice is brought to the same slot.
    early = msgspec.structs.replace(
        plan.copies[2], tensor="w2", to_offset=ring, after_op=1, before_op=2
    )
    result = check(model, msgspec.structs.replace(plan, copies=[*plan.copies[:2], early]))
    assert not result.sound


def test_missing_load_leaves_poison(model: Path) -> None:
    plan = resident_plan("shared", 1)
    load = msgspec.structs.replace(plan.copies[0], size_bytes=WEIGHT_BYTES // 2)
    assert not check(model, msgspec.structs.replace(plan, copies=[load, *plan.copies[1:]])).sound


def test_in_place_alias(model: Path) -> None:
    plan = tiny_plan()
    tensors = [
        msgspec.structs.replace(tensor, alias_of="a", residences=[])
        if tensor.name == "b"
        else tensor
        for tensor in plan.tensors
        if tensor.name != "c"
    ]
    c = next(tensor for tensor in plan.tensors if tensor.name == "c")
    tensors.append(
        msgspec.structs.replace(c, residences=[Residence(SRAM, "shared", ACTIVATION_BYTES, 2, 4)])
    )
    plan = moved(msgspec.structs.replace(plan, tensors=tensors[:-1]), "a", end=3)
    plan = msgspec.structs.replace(plan, tensors=[*plan.tensors, tensors[-1]])
    result = check(model, plan)
    assert result.sound
    assert result.gathered_operands == 1


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("b", {"tier": "nowhere"}, "no tier 'nowhere'"),
        ("b", {"offset": -4}, "negative"),
        ("b", {"offset": 1 << 40}, "which has"),
        ("b", {"offset": ACTIVATION_BYTES + 2}, "not a multiple of 4"),
        ("b", {"end": 2}, "has no place when op 2"),
    ],
)
def test_plan_that_cannot_be_executed_is_one_clear_line(
    model: Path, name: str, changes: dict[str, object], message: str
) -> None:
    with pytest.raises(PlanViolationError, match=message) as caught:
        check(model, moved(tiny_plan(), name, **changes))
    assert "\n" not in str(caught.value)


def test_too_much_memory_is_refused_before_it_is_allocated(model: Path) -> None:
    with pytest.raises(InputError, match="at most 1000 may be used"):
        check_plan(model, tiny_plan(), tiny_inputs(), None, limit_bytes=1000)


def test_inputs_are_checked(model: Path) -> None:
    with pytest.raises(InputError, match="'x': expected shape"):
        check_plan(model, tiny_plan(), {"x": np.zeros((1, 2), np.float32)})


def wide_plan() -> Plan:
    """`tiny_plan` with twice the planned bytes for weights and input than the arena's scale fills.

    Activations are in half precision (scale 2), weights and input in full.
    """
    half, full = tiny_plan("fp16"), tiny_plan("fp32")
    narrow = {t.name: t for t in half.tensors if t.kind == "activation" or t.name == "y"}
    tensors = [narrow.get(tensor.name, tensor) for tensor in full.tensors]
    plan = msgspec.structs.replace(full, tensors=tensors)
    return moved(plan, "y", offset=2 * WEIGHT_BYTES + ACTIVATION_BYTES)


def test_the_end_that_the_host_does_not_fill_is_guarded(model: Path) -> None:
    plan = wide_plan()
    result = check(model, plan)
    assert result.scale == 2
    assert result.sound
    # Full-precision `x` fills only the front of its dilated memory; its end is watched.
    end = 2 * WEIGHT_BYTES + ACTIVATION_BYTES
    with pytest.raises(PlanViolationError, match="'x' was overwritten"):
        check(model, plan, Flip(DRAM, end - 1, 1))
    with pytest.raises(PlanViolationError, match="'x' was overwritten"):
        check(model, moved(plan, "y", offset=end - 64))
    with pytest.raises(PlanViolationError, match="'w2' was overwritten"):
        check(model, moved(plan, "a", tier=DRAM, offset=2 * WEIGHT_BYTES - 64))


def test_scratch_is_guarded(model: Path) -> None:
    plan = tiny_plan()
    scratch = msgspec.structs.replace(
        plan.tensors[0],
        name="mm2:scratch",
        kind="scratch",
        residences=[Residence(SRAM, "shared", 4 * ACTIVATION_BYTES, 2, 3)],
    )
    ops = [
        msgspec.structs.replace(op, reads=[*op.reads, scratch.name]) if op.name == "mm2" else op
        for op in plan.ops
    ]
    plan = msgspec.structs.replace(plan, tensors=[*plan.tensors, scratch], ops=ops)
    assert check(model, plan).sound
    with pytest.raises(PlanViolationError, match="'mm2:scratch' was overwritten"):
        check(model, moved(plan, scratch.name, offset=256))
