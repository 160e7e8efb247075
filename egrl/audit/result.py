"""What an audit says; the object that `egrl audit --json` prints."""

import msgspec

AUDIT_SCHEMA = 1


class Overflow(msgspec.Struct, frozen=True):
    """A tier that a plan fills beyond its capacity.

    Attributes:
        tier: name.
        capacity_bytes: of the tier.
        peak_bytes: most bytes live in it.
        over_bytes: peak minus capacity.
        op: name of the first op at the peak.
        op_index: its index.
        ops_over: how many ops are over capacity.
        largest: names of the largest tensors live there, largest first, at most eight.
        largest_bytes: their sizes.
    """

    tier: str
    capacity_bytes: int
    peak_bytes: int
    over_bytes: int
    op: str
    op_index: int
    ops_over: int
    largest: list[str]
    largest_bytes: list[int]


class AddressFault(msgspec.Struct, frozen=True):
    """An address that cannot be.

    Attributes:
        fault: `overlap`, `out of range` or `misaligned`.
        tensors: names.
        tier: name.
        text: one line for a person.
    """

    fault: str
    tensors: list[str]
    tier: str
    text: str


class TierUse(msgspec.Struct, frozen=True):
    """How full a tier gets.

    Attributes:
        tier: name.
        capacity_bytes: null where unbounded.
        peak_bytes: most bytes live in it at any op.
    """

    tier: str
    capacity_bytes: int | None
    peak_bytes: int


class JudgedPlan(msgspec.Struct, frozen=True):
    """Their plan, or the stand-in.

    Attributes:
        source: `given` or `first-fit` (none was given).
        fits: whether it keeps every capacity, pin and address.
        latency_s: under the problem's cost; of a plan that does not fit too, for what it is worth.
        gap: latency over the proven bound, minus one; null where it does not fit or the bound is 0.
        tiers: how full each tier gets.
        overflows: tiers over capacity, worst first.
        misplaced: names of tensors in a tier that may not hold them or that a pin forbids.
        address_faults: the first faults among the given offsets.
        address_fault_count: all of them.
        addressed: how many tensors had an offset.
    """

    source: str
    fits: bool
    latency_s: float
    gap: float | None
    tiers: list[TierUse]
    overflows: list[Overflow]
    misplaced: list[str]
    address_faults: list[AddressFault]
    address_fault_count: int
    addressed: int


class FoundPlan(msgspec.Struct, frozen=True):
    """The best plan that was found.

    Attributes:
        source: which search found it; `given plan` where theirs is the best.
        latency_s: under the problem's cost.
        gap: latency over the proven bound, minus one; null where the bound is 0.
        addresses_found: whether first fit finds offsets for it; where not, an allocator with
            search may, or a slightly smaller capacity in the problem helps.
        homes: tier by tensor name.
    """

    source: str
    latency_s: float
    gap: float | None
    addresses_found: bool
    homes: dict[str, str]


class MoveChange(msgspec.Struct, frozen=True):
    """One tensor that moves.

    Attributes:
        tensor: name.
        from_tier: name.
        to_tier: name.
    """

    tensor: str
    from_tier: str
    to_tier: str


class RecoveringMove(msgspec.Struct, frozen=True):
    """Tensors that move together, on top of the moves before.

    Attributes:
        changes: what moves: the tensor that gains, then those that make room for it.
        gain_s: seconds that it saves after the moves before it.
        gain_share: that, over the latency of the judged plan.
        latency_after_s: of the plan after it.
    """

    changes: list[MoveChange]
    gain_s: float
    gain_share: float
    latency_after_s: float


class AuditResult(msgspec.Struct, frozen=True):
    """The whole audit.

    Attributes:
        schema: `AUDIT_SCHEMA`.
        problem: name.
        ops: how many.
        tensors: how many.
        bound_s: no plan that fits is faster, under the problem's cost.
        bound_status: `optimal`, `gap reached`, `time limit`, or `floor` where the problem is too
            large for the solver.
        plan: theirs, or the stand-in.
        best: the best plan found.
        closable_s: latency of the judged plan minus that of the best, null where theirs does not
            fit.
        repair: for a plan that does not fit, changes after which it does; empty where it fits or
            where moving tensors one at a time finds none.
        moves: those that recover most, starting from the judged plan, or from the repaired one
            where it does not fit.
        pins: tier by name of the tensors that repair and moves touch; paste these.
    """

    schema: int
    problem: str
    ops: int
    tensors: int
    bound_s: float
    bound_status: str
    plan: JudgedPlan
    best: FoundPlan
    closable_s: float | None
    repair: list[MoveChange]
    moves: list[RecoveringMove]
    pins: dict[str, str]
