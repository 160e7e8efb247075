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
        doubtful: the op after the consumer reads the tensor too, and may be the one it is for.
        tier: of the ring.
        first_byte: where in its source it begins.
        moved_bytes: how much of its source it brings.
        home_bytes: of the whole source (of one core's share, where that is partitioned).
    """

    span: Span
    consumer: int
    late: bool
    doubtful: bool
    tier: str
    first_byte: int
    moved_bytes: int
    home_bytes: int


@dataclass(frozen=True, slots=True)
class LoadedPart:
    """Bytes that a load copy brings to a tensor's own memory.

    Attributes:
        tensor: name.
        from_tier: name.
        from_image: they come from the image, not from the tensor's own memory.
        from_offset: first byte in the tier.
        from_byte: first byte in the tensor's own memory or in the image.
        to: the residence that they go to.
        to_byte: first byte in it.
        size_bytes: unique bytes.
    """

    tensor: str
    from_tier: str
    from_image: bool
    from_offset: int
    from_byte: int
    to: Residence
    to_byte: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class _Source:
    """Where a copy takes its bytes from: of which tensor, from which byte on, how many of all."""

    name: str
    first_byte: int
    moved_bytes: int
    home_bytes: int


@dataclass(frozen=True, slots=True)
class CopyContext:
    """What the checks of copies look up.

    Attributes:
        plan: that is checked.
        tiers: by name.
        tensors: by name.
        readers: indices of the ops that read the memory of a tensor, by the owner's name.
        writers: of those that write it, likewise.
    """

    plan: Plan
    tiers: Mapping[str, PlanTier]
    tensors: Mapping[str, PlanTensor]
    readers: Mapping[str, frozenset[int]]
    writers: Mapping[str, frozenset[int]]


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


def check_copy(context: CopyContext, copy: Copy) -> Iterator[Violation | StagedSlice | LoadedPart]:
    """One copy for itself; a slice for the staging ring and what is loaded are handed on."""
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
    if copy.phase == "load":
        begin, finish = 0, 1
    elif begin >= ops or finish <= begin or finish > begin + ops:
        text = f"after_op {begin}, before_op {finish} leave no time within {ops} ops"
        yield violation(Verdict.BAD_COPY, name, text)
        return
    source = _source(context, copy, begin, finish)
    if source is None:
        elsewhere = IMAGE_TENSOR if copy.phase == "load" else ""
        text = f"{copy.size_bytes} bytes from {copy.from_offset} of {from_tier.name} are not there"
        yield violation(Verdict.COPY_SOURCE, name, text, elsewhere)
    yield from _check_target(context, copy, source, begin, finish)


def _source(context: CopyContext, copy: Copy, begin: int, finish: int) -> _Source | None:
    """It comes from the tensor's own memory, or in the load phase from the image."""
    tier = context.tiers[copy.from_tier]
    names = (copy.tensor, IMAGE_TENSOR) if copy.phase == "load" else (copy.tensor,)
    for name in names:
        tensor = context.tensors.get(name)
        for mode in dict.fromkeys(r.mode for r in tensor.residences) if tensor else ():
            size = moved_bytes(copy, mode, tier)
            low, high = copy.from_offset, copy.from_offset + size
            found = _within(context, name, tier.name, low, high, begin, finish)
            if tensor is not None and found is not None and found.mode == mode:
                first = copy.from_offset - found.offset
                return _Source(name, first, size, held_bytes(tensor, found, tier))
    return None


def _check_target(
    context: CopyContext, copy: Copy, source: _Source | None, begin: int, finish: int
) -> Iterator[Violation | StagedSlice | LoadedPart]:
    """It goes to the tensor's own memory, or in every inference to the staging ring."""
    tier = context.tiers[copy.to_tier]
    low = copy.to_offset
    high = low + moved_bytes(copy, copy.mode, tier)
    own = _within(context, copy.tensor, tier.name, low, high, begin, finish)
    if own is not None:
        if own.mode != copy.mode:
            text = f"copied as {copy.mode}, it lies {own.mode} in {tier.name}"
            yield violation(Verdict.BAD_MODE, copy.tensor, text)
        elif source is not None and copy.phase == "load":
            yield LoadedPart(
                copy.tensor,
                copy.from_tier,
                source.name == IMAGE_TENSOR,
                copy.from_offset,
                source.first_byte,
                own,
                low - own.offset,
                copy.size_bytes,
            )
        return
    ring = _within(context, STAGING_TENSOR, tier.name, low, high, begin, finish)
    if ring is not None and copy.phase == "steady":
        yield from _staged(context, copy, source, Span(low, high, begin, finish, copy.tensor))
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


def _staged(
    context: CopyContext, copy: Copy, source: _Source | None, span: Span
) -> Iterator[Violation | StagedSlice]:
    """Which op uses a slice: the running one if it reads the tensor and the time is one op."""
    ops = period(context.plan)
    readers = context.readers.get(copy.tensor, frozenset())
    late = copy.before_op == copy.after_op + 1 and copy.after_op in readers
    if not late and copy.before_op % ops not in readers:
        text = f"neither op {copy.after_op} nor op {copy.before_op} reads it"
        yield violation(Verdict.COPY_UNUSED, copy.tensor, text)
        return
    consumer = copy.after_op if late else copy.before_op
    for writer in sorted(context.writers.get(copy.tensor, ())):
        if any(copy.after_op <= writer + turn < consumer for turn in (0, ops)):
            text = f"from op {copy.after_op} on for op {consumer}, and op {writer} writes it"
            yield violation(Verdict.COPY_STALE, copy.tensor, text)
            break
    held = Span(span.low, span.high, span.start, consumer + 1, span.label)
    tier = copy.to_tier
    if _within(context, STAGING_TENSOR, tier, held.low, held.high, held.start, held.end) is None:
        text = f"it does not hold {held.text()} of {tier} until op {consumer} has ended"
        yield violation(Verdict.NOT_LIVE, STAGING_TENSOR, text, copy.tensor)
    if source is not None:
        yield StagedSlice(
            held,
            consumer,
            late,
            late and copy.before_op in readers,
            tier,
            source.first_byte,
            source.moved_bytes,
            source.home_bytes,
        )
