"""Checks of modes: a memory is one for all cores, or every core has its own."""

from collections.abc import Iterator

from accelerator_sim.plan import Plan, PlanTier
from accelerator_sim.validate.violation import Verdict, Violation, violation


def check_modes(plan: Plan) -> Iterator[Violation]:
    """Modes of residences and copies are those that their tier can have.

    The memory of one core on a machine of one core is a tier of one core, as a shared memory is.
    There the first tensor says which of the two it is, and all others must agree.
    """
    tiers = {tier.name: tier for tier in plan.tiers}
    per_core = _known_scopes(plan)
    decided_by: dict[str, str] = {}
    uses = [
        (tensor.name, residence.tier, residence.mode, "kept")
        for tensor in plan.tensors
        for residence in tensor.residences
    ]
    uses += [(copy.tensor, copy.to_tier, copy.mode, "copied") for copy in plan.copies]
    for name, tier, mode, verb in uses:
        if tier not in tiers:
            continue  # Which is reported.
        if tier not in per_core:
            per_core[tier] = mode != "shared"
            decided_by[tier] = name
        elif per_core[tier] != (mode != "shared"):
            text = f"{verb} {mode} in {_scope_text(tiers[tier], per_core[tier])}"
            yield violation(Verdict.BAD_MODE, name, text, decided_by.get(tier, tier))


def _known_scopes(plan: Plan) -> dict[str, bool]:
    """Tiers that are surely per core, or surely not."""
    one_core = all(tier.cores == 1 for tier in plan.tiers)
    return {
        tier.name: tier.cores > 1
        for index, tier in enumerate(plan.tiers)
        if index == 0 or not one_core
    }


def _scope_text(tier: PlanTier, per_core: bool) -> str:
    if not per_core:
        return f"{tier.name}, which all cores share"
    return f"{tier.name}, which {tier.cores} cores have each for itself"
