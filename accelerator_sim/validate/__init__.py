"""Is a plan sound? Simple checks that know nothing of how plans are made."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice

from accelerator_sim.plan import PLAN_SCHEMA, Plan, PlanTensor, PlanTier
from accelerator_sim.validate.accesses import check_io, check_ops, check_written
from accelerator_sim.validate.channels import check_deadlines
from accelerator_sim.validate.copies import CopyContext, LoadedPart, StagedSlice, check_copy
from accelerator_sim.validate.loads import check_loads
from accelerator_sim.validate.modes import check_modes
from accelerator_sim.validate.staging import check_staging
from accelerator_sim.validate.streams import check_streams
from accelerator_sim.validate.tensors import (
    check_aliases,
    check_overlaps,
    check_tensors,
    check_tiers,
    owners,
    period,
)
from accelerator_sim.validate.violation import Verdict, Violation, violation
from graph_ir.errors import EgrlError, InputError

__all__ = ["Verdict", "Violation", "check_plan", "find_violations", "validate_plan"]

_SHOWN = 20


def find_violations(plan: Plan, limit: int = _SHOWN) -> list[Violation]:
    """The first violations of a plan; none where it is sound.

    Args:
        plan: as decoded; its values are not trusted.
        limit: how many to look for.
    """
    return list(islice(_violations(plan), limit))


def validate_plan(plan: Plan) -> None:
    """Refuse a plan from outside.

    Raises:
        InputError: the first violation, and how many there are.
    """
    text = _summary(plan)
    if text:
        raise InputError(text)


def check_plan(plan: Plan) -> None:
    """Check a plan that we made ourselves.

    Raises:
        EgrlError: it is not sound, which is a bug of ours (exit code 1).
    """
    text = _summary(plan)
    if text:
        raise EgrlError(f"internal error: the plan that was made is not sound: {text}")


def _summary(plan: Plan) -> str:
    found = find_violations(plan)
    if not found:
        return ""
    more = len(found) - 1
    tail = f" (and {'at least ' if len(found) == _SHOWN else ''}{more} more)" if more else ""
    return f"plan: {found[0].message}{tail}"


def _violations(plan: Plan) -> Iterator[Violation]:
    if plan.schema != PLAN_SCHEMA:
        text = f"expected {PLAN_SCHEMA}, got {plan.schema}"
        yield violation(Verdict.BAD_SCHEMA, "schema", text)
        return
    tiers = {tier.name: tier for tier in plan.tiers}
    tensors = {tensor.name: tensor for tensor in plan.tensors}
    impossible = False
    for found in check_tiers(plan):
        impossible = True
        yield found
    if impossible:
        return
    broken = False
    for checks in (check_tensors(plan, tiers), check_modes(plan), check_aliases(plan, tensors)):
        for found in checks:
            broken = True
            yield found
    owner_of, cycles = owners(plan, tensors)
    yield from cycles
    yield from check_overlaps(plan)
    if broken or cycles:
        # What follows relies on each tensor being right in itself.
        return
    yield from check_ops(plan, tensors, owner_of)
    yield from check_written(plan, owner_of)
    yield from check_io(plan, owner_of)
    yield from _copy_violations(plan, tiers, tensors, owner_of)


def _copy_violations(
    plan: Plan,
    tiers: Mapping[str, PlanTier],
    tensors: Mapping[str, PlanTensor],
    owner_of: Mapping[str, PlanTensor],
) -> Iterator[Violation]:
    context = CopyContext(
        plan,
        tiers,
        tensors,
        _users(owner_of, [op.reads for op in plan.ops]),
        _users(owner_of, [op.writes for op in plan.ops]),
    )
    slices: list[StagedSlice] = []
    loaded: list[LoadedPart] = []
    for copy in plan.copies:
        for item in check_copy(context, copy):
            if isinstance(item, StagedSlice):
                slices.append(item)
            elif isinstance(item, LoadedPart):
                loaded.append(item)
            else:
                yield item
    yield from check_deadlines(plan)
    yield from check_staging(slices, period(plan))
    yield from check_streams(plan, slices)
    yield from check_loads(context, loaded)


def _users(
    owner_of: Mapping[str, PlanTensor], names: Sequence[Sequence[str]]
) -> dict[str, frozenset[int]]:
    """By the name of a memory's owner, the ops that name it or what shares it."""
    users: dict[str, set[int]] = {}
    for index, of_op in enumerate(names):
        for name in of_op:
            users.setdefault(owner_of[name].name if name in owner_of else name, set()).add(index)
    return {name: frozenset(at) for name, at in users.items()}
