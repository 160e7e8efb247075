"""Checks of the DMA schedule: every copy moves a tensor's bytes from where it is to its place."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from accelerator_sim.plan import (
    IMAGE_TENSOR,
    STAGING_TENSOR,
    Copy,
    Plan,
    PlanTensor,
    PlanTier,
    Residence,
)
from accelerator_sim.validate.spans import Span
from accelerator_sim.validate.tensors import held_bytes, period, residence_spans
from accelerator_sim.validate.violation import Verdict, Violation, violation


@dataclass(frozen=True, slots=True)
class StagedSlice:
    """Bytes of the staging ring that a steady copy fills for an op.

    Attributes:
        span: from when the copy may begin until the op that uses it ends.
        consumer: index of that op; beyond the number of ops it is one of the next inference.
        late: it arrives while the op runs.
        tier: of the ring.
    """

    span: Span
    consumer: int
    late: bool
    tier: str


@dataclass(frozen=True, slots=True)
class CopyContext:
    """What the checks of copies look up.

    Attributes:
        plan: that is checked.
        tiers: by name.
        tensors: by name.
        readers: indices of the ops that read the memory of a tensor, by the owner's name.
    """

    plan: Plan
    tiers: Mapping[str, PlanTier]
    tensors: Mapping[str, PlanTensor]
    readers: Mapping[str, frozenset[int]]


def moved_bytes(copy: Copy, mode: str, tier: PlanTier) -> int:
    """Bytes that a copy touches in a tier (of one core, in a per-core tier)."""
    return -(-copy.size_bytes // tier.cores) if mode == "partitioned" else copy.size_bytes


def _within(
    context: CopyContext, name: str, tier: str, low: int, high: int, start: int, end: int
) -> Residence | None:
    """The residence of a tensor that holds all of these bytes over all of this time."""
    tensor = context.tensors.get(name)
    ops = period(context.plan)
    for residence in tensor.residences if tensor is not None else ():
        if tensor is None or residence.tier != tier:
            continue
        held = residence.offset + held_bytes(tensor, residence, context.tiers[tier])
        if not (residence.offset <= low and high <= held):
            continue
        whole = residence.end - residence.start >= ops
        if whole or any(
            residence.start <= start + turn and end + turn <= residence.end for turn in (0, ops)
        ):
            return residence
    return None


def check_copy(context: CopyContext, copy: Copy) -> Iterator[Violation | StagedSlice]:
    """One copy for itself; a slice for the staging ring is handed on."""
    name = copy.tensor
    tensor = context.tensors.get(name)
    from_tier, to_tier = context.tiers.get(copy.from_tier), context.tiers.get(copy.to_tier)
    if tensor is None:
        yield violation(Verdict.UNKNOWN_TENSOR, name, "a copy of no tensor of the plan")
        return
    for tier, tier_name in ((from_tier, copy.from_tier), (to_tier, copy.to_tier)):
        if tier is None:
            yield violation(Verdict.UNKNOWN_TIER, name, "copied from or to it", tier_name)
    if from_tier is None or to_tier is None:
        return
    if tensor.alias_of is not None:
        yield violation(Verdict.BAD_COPY, name, "an alias is not copied, its owner is")
        return
    ops = period(context.plan)
    begin, finish = copy.after_op, copy.before_op
    if not 0 < copy.size_bytes <= tensor.size_bytes:
        text = f"size_bytes {copy.size_bytes} of a tensor of {tensor.size_bytes}"
        yield violation(Verdict.BAD_COPY, name, text)
        return
    if min(copy.from_offset, copy.to_offset, copy.channel, begin) < 0:
        yield violation(Verdict.BAD_COPY, name, "a negative offset, channel or op")
        return
    if copy.mode == "shared" and to_tier.cores > 1:
        yield violation(Verdict.BAD_MODE, name, f"copied as shared to {to_tier.cores} cores")
    if copy.phase == "load":
        begin, finish = 0, 1
    elif begin >= ops or finish <= begin or finish > begin + ops:
        text = f"after_op {begin}, before_op {finish} leave no time within {ops} ops"
        yield violation(Verdict.BAD_COPY, name, text)
        return
    yield from _check_source(context, copy, begin, finish)
    yield from _check_target(context, copy, to_tier, begin, finish)


def _check_source(context: CopyContext, copy: Copy, begin: int, finish: int) -> Iterator[Violation]:
    """It comes from the tensor's own memory, or in the load phase from the image."""
    tier = context.tiers[copy.from_tier]
    sources = (copy.tensor, IMAGE_TENSOR) if copy.phase == "load" else (copy.tensor,)
    for source in sources:
        tensor = context.tensors.get(source)
        for mode in dict.fromkeys(r.mode for r in tensor.residences) if tensor else ():
            high = copy.from_offset + moved_bytes(copy, mode, tier)
            found = _within(context, source, tier.name, copy.from_offset, high, begin, finish)
            if found is not None and found.mode == mode:
                return
    text = f"byte {copy.from_offset} of {tier.name} is not in {' or '.join(sources)} then"
    yield violation(Verdict.COPY_SOURCE, copy.tensor, text)


def _check_target(
    context: CopyContext, copy: Copy, tier: PlanTier, begin: int, finish: int
) -> Iterator[Violation | StagedSlice]:
    """It goes to the tensor's own memory, or in every inference to the staging ring."""
    low = copy.to_offset
    high = low + moved_bytes(copy, copy.mode, tier)
    own = _within(context, copy.tensor, tier.name, low, high, begin, finish)
    if own is not None:
        if own.mode != copy.mode:
            text = f"copied as {copy.mode}, it lies {own.mode} in {tier.name}"
            yield violation(Verdict.BAD_MODE, copy.tensor, text)
        return
    ring = _within(context, STAGING_TENSOR, tier.name, low, high, begin, finish)
    if ring is not None and copy.phase == "steady":
        yield from _staged(context, copy, Span(low, high, begin, finish, copy.tensor))
        return
    target = Span(low, high, begin, finish, copy.tensor)
    for other in residence_spans(context.plan, tier):
        same_time = other.start < finish and begin < other.end
        if other.label != copy.tensor and same_time and other.low < high and low < other.high:
            text = f"{target.text()} of {tier.name} hold {other.text()}"
            yield violation(Verdict.COPY_OVERWRITES, copy.tensor, text, other.label)
            return
    text = f"{target.text()} of {tier.name} are neither its own nor staging"
    yield violation(Verdict.COPY_TARGET, copy.tensor, text)


def _staged(context: CopyContext, copy: Copy, span: Span) -> Iterator[Violation | StagedSlice]:
    """Which op uses a slice: the running one if it reads the tensor and the time is one op."""
    ops = period(context.plan)
    readers = context.readers.get(copy.tensor, frozenset())
    late = copy.before_op == copy.after_op + 1 and copy.after_op in readers
    if late:
        yield StagedSlice(span, copy.after_op, True, copy.to_tier)
    elif copy.before_op % ops in readers:
        held = Span(span.low, span.high, span.start, copy.before_op + 1, span.label)
        yield StagedSlice(held, copy.before_op, False, copy.to_tier)
    else:
        text = f"neither op {copy.after_op} nor op {copy.before_op} reads it"
        yield violation(Verdict.COPY_UNUSED, copy.tensor, text)


def check_loaded(context: CopyContext) -> Iterator[Violation]:
    """Every weight that lives only in inner tiers is loaded whole before the first inference."""
    outermost = context.plan.tiers[0].name if context.plan.tiers else ""
    loaded: dict[str, dict[tuple[str, int], int]] = {}
    for copy in context.plan.copies:
        if copy.phase == "load":
            parts = loaded.setdefault(copy.tensor, {})
            place = (copy.to_tier, copy.to_offset)
            parts[place] = max(parts.get(place, 0), copy.size_bytes)
    for tensor in context.plan.tensors:
        if tensor.kind != "weight" or tensor.alias_of is not None or tensor.name == IMAGE_TENSOR:
            continue
        if any(residence.tier == outermost for residence in tensor.residences):
            continue
        got = sum(loaded.get(tensor.name, {}).values())
        if got < tensor.size_bytes:
            text = f"{got} of {tensor.size_bytes} bytes are copied in before the first inference"
            yield violation(Verdict.NOT_LOADED, tensor.name, text)
