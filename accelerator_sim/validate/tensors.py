"""Checks of tiers and tensors: names, aliases, residences, and that nothing overlaps."""

from collections.abc import Iterator, Mapping

from accelerator_sim.plan import IMAGE_TENSOR, STAGING_TENSOR, Plan, PlanTensor, PlanTier, Residence
from accelerator_sim.validate.spans import Span, collisions, wrapped
from accelerator_sim.validate.violation import Verdict, Violation, violation

KINDS = ("weight", "activation", "state", "scratch", "io")
PERSISTENT = ("weight", "state")
# A file from outside may not make the checks of copies quadratic.
MOST_RESIDENCES = 256


def period(plan: Plan) -> int:
    """Op indices in one inference; a plan without ops has one moment."""
    return max(1, len(plan.ops))


def held_bytes(tensor: PlanTensor, residence: Residence, tier: PlanTier) -> int:
    """Bytes that a residence takes of its tier (of one core's, in a per-core tier)."""
    if residence.mode == "partitioned":
        return -(-tensor.size_bytes // tier.cores)
    return tensor.size_bytes


def covers(residence: Residence, op: int, ops: int) -> bool:
    """Whether a residence is there while an op runs, in this inference or from the last one."""
    return residence.start <= op < residence.end or residence.start <= op + ops < residence.end


def check_tiers(plan: Plan) -> Iterator[Violation]:
    """Names are unique, capacities and cores possible."""
    seen: set[str] = set()
    for tier in plan.tiers:
        if tier.name in seen:
            yield violation(Verdict.DUPLICATE_NAME, tier.name, "two tiers have this name")
        seen.add(tier.name)
        if tier.capacity_bytes < 0 or tier.cores < 1:
            text = f"capacity_bytes {tier.capacity_bytes}, cores {tier.cores}"
            yield violation(Verdict.BAD_VALUE, tier.name, f"a tier cannot have {text}")


def check_tensors(plan: Plan, tiers: Mapping[str, PlanTier]) -> Iterator[Violation]:
    """Each tensor for itself: name, kind, size and residences."""
    seen: set[str] = set()
    for tensor in plan.tensors:
        name = tensor.name
        if name in seen:
            yield violation(Verdict.DUPLICATE_NAME, name, "two tensors have this name")
        seen.add(name)
        if tensor.kind not in KINDS:
            yield violation(Verdict.BAD_VALUE, name, f"kind is none of {', '.join(KINDS)}")
        if tensor.size_bytes < 0 or tensor.alignment_bytes < 1:
            text = f"size_bytes {tensor.size_bytes}, alignment_bytes {tensor.alignment_bytes}"
            yield violation(Verdict.BAD_VALUE, name, f"a tensor cannot have {text}")
            continue
        if tensor.alias_of is not None:
            if tensor.residences:
                yield violation(Verdict.ALIAS_RESIDENCE, name, "it lies where its owner lies")
            continue
        if not tensor.residences:
            yield violation(Verdict.NO_RESIDENCE, name, "neither an alias nor in any tier")
        if len(tensor.residences) > MOST_RESIDENCES:
            text = f"{len(tensor.residences)} residences, at most {MOST_RESIDENCES} are allowed"
            yield violation(Verdict.BAD_VALUE, name, text)
            continue
        for residence in tensor.residences:
            yield from _check_residence(plan, tiers, tensor, residence)
        if tensor.kind in PERSISTENT and name not in (STAGING_TENSOR, IMAGE_TENSOR):
            yield from _check_persists(plan, tensor)


def _check_residence(
    plan: Plan, tiers: Mapping[str, PlanTier], tensor: PlanTensor, residence: Residence
) -> Iterator[Violation]:
    name = tensor.name
    tier = tiers.get(residence.tier)
    if tier is None:
        yield violation(Verdict.UNKNOWN_TIER, name, "the plan has no such tier", residence.tier)
        return
    ops = period(plan)
    start, end = residence.start, residence.end
    # A plan without ops has nothing at which a tensor could be live.
    empty = end <= start if plan.ops else end < start
    if start < 0 or empty or start >= ops or end > start + ops:
        text = f"[{start}, {end}) is not a lifetime within {len(plan.ops)} ops"
        yield violation(Verdict.BAD_LIFETIME, name, text)
    high = residence.offset + held_bytes(tensor, residence, tier)
    if residence.offset < 0:
        yield violation(Verdict.NEGATIVE_OFFSET, name, f"offset {residence.offset}", tier.name)
    elif residence.offset % tensor.alignment_bytes:
        text = f"offset {residence.offset} is not a multiple of {tensor.alignment_bytes}"
        yield violation(Verdict.MISALIGNED, name, text, tier.name)
    if high > tier.capacity_bytes:
        text = f"ends at byte {high} of {tier.capacity_bytes}"
        yield violation(Verdict.OUTSIDE_CAPACITY, name, text, tier.name)


def _check_persists(plan: Plan, tensor: PlanTensor) -> Iterator[Violation]:
    """Weights and states must be somewhere at every op, or they are lost."""
    ops = len(plan.ops)
    # Pieces of residences by their begin; walk along them as far as they reach.
    pieces = [(r.start, r.end) for r in tensor.residences]
    pieces += [(0, r.end - ops) for r in tensor.residences if r.end > ops]
    reached = 0
    for start, end in sorted(pieces):
        if start > reached:
            break
        reached = max(reached, end)
    if reached < ops:
        yield violation(
            Verdict.BAD_LIFETIME, tensor.name, f"a {tensor.kind} that is nowhere at op {reached}"
        )


def check_aliases(plan: Plan, tensors: Mapping[str, PlanTensor]) -> Iterator[Violation]:
    """Owners exist, chains end, and every alias lies within its owner's bytes."""
    for tensor in plan.tensors:
        if tensor.alias_of is None:
            continue
        owner = tensors.get(tensor.alias_of)
        if owner is None:
            yield violation(
                Verdict.UNKNOWN_TENSOR, tensor.name, "its owner is not in the plan", tensor.alias_of
            )
            continue
        if tensor.alias_offset < 0 or tensor.alias_offset + tensor.size_bytes > owner.size_bytes:
            end = tensor.alias_offset + tensor.size_bytes
            text = f"bytes [{tensor.alias_offset}, {end}) of {owner.size_bytes}"
            yield violation(Verdict.ALIAS_OUTSIDE, tensor.name, text, owner.name)


def owners(
    plan: Plan, tensors: Mapping[str, PlanTensor]
) -> tuple[dict[str, PlanTensor], list[Violation]]:
    """The tensor that owns each tensor's memory; none where the chain is broken or a cycle."""
    owner_of: dict[str, PlanTensor | None] = {}
    cycles: list[Violation] = []
    for tensor in plan.tensors:
        chain: dict[str, None] = {}
        at = tensor
        while at.name not in owner_of:
            if at.alias_of is None:
                owner_of[at.name] = at
                break
            if at.name in chain:
                text = f"a chain of aliases comes back to it after {len(chain)} steps"
                cycles.append(violation(Verdict.ALIAS_CYCLE, at.name, text, at.alias_of))
                owner_of[at.name] = None
                break
            chain[at.name] = None
            following = tensors.get(at.alias_of)
            if following is None:
                owner_of[at.name] = None
                break
            at = following
        root = owner_of[at.name]
        for name in chain:
            owner_of[name] = root
    return {name: owner for name, owner in owner_of.items() if owner is not None}, cycles


def residence_spans(plan: Plan, tier: PlanTier) -> list[Span]:
    """What lies in a tier and when, folded into one inference."""
    ops = period(plan)
    spans = []
    for tensor in plan.tensors:
        if tensor.alias_of is not None:
            continue
        for residence in tensor.residences:
            high = residence.offset + held_bytes(tensor, residence, tier)
            end = residence.end if plan.ops else max(residence.end, residence.start + 1)
            if residence.tier != tier.name or high <= residence.offset or end <= residence.start:
                continue
            whole = Span(residence.offset, high, residence.start, end, tensor.name)
            spans.extend(wrapped(whole, ops))
    return spans


def check_overlaps(plan: Plan) -> Iterator[Violation]:
    """No two tensors have a byte in common while both are live."""
    for tier in plan.tiers:
        for a, b in collisions(residence_spans(plan, tier)):
            text = f"in {tier.name}: {a.text()}, {b.text()}"
            yield violation(Verdict.OVERLAP, a.label, text, b.label)
