"""Checks of ops: what they read and write is there, and was written before."""

from collections.abc import Iterator, Mapping

from accelerator_sim.plan import Plan, PlanTensor
from accelerator_sim.validate.tensors import covers, period
from accelerator_sim.validate.violation import Verdict, Violation, violation

SPLITS = ("rows", "columns", "none")


def check_ops(
    plan: Plan, tensors: Mapping[str, PlanTensor], owner_of: Mapping[str, PlanTensor]
) -> Iterator[Violation]:
    """Names, splits, and that operands are live; aliases stand for the memory that they share."""
    seen: set[str] = set()
    ops = period(plan)
    for index, op in enumerate(plan.ops):
        if op.name in seen:
            yield violation(Verdict.DUPLICATE_NAME, op.name, "two ops have this name")
        seen.add(op.name)
        if op.split not in SPLITS:
            yield violation(Verdict.BAD_VALUE, op.name, f"split is none of {', '.join(SPLITS)}")
        for name in dict.fromkeys([*op.reads, *op.writes]):
            if name not in tensors:
                yield violation(Verdict.UNKNOWN_TENSOR, op.name, "it reads or writes it", name)
                continue
            owner = owner_of.get(name)
            if owner is None:
                continue  # A broken chain of aliases, which is reported.
            if not any(covers(residence, index, ops) for residence in owner.residences):
                lives = ", ".join(f"[{r.start}, {r.end})" for r in owner.residences[:4])
                text = f"op {index} uses it, it lives at {lives or 'no op'}"
                yield violation(Verdict.NOT_LIVE, name, text, op.name)
        for name in op.writes:
            owner = owner_of.get(name)
            if owner is not None and owner.kind == "weight":
                yield violation(Verdict.CONSTANT_WRITTEN, name, "a weight is constant", op.name)


def check_written(plan: Plan, owner_of: Mapping[str, PlanTensor]) -> Iterator[Violation]:
    """An activation is written by an op before any op reads it.

    A view may be read through another name than it was written by, so it is the memory's owner
    that counts. An op may read what it writes itself (in place).
    """
    written: set[str] = set()
    for index, op in enumerate(plan.ops):
        written.update(owner_of[name].name for name in op.writes if name in owner_of)
        for name in op.reads:
            owner = owner_of.get(name)
            if owner is None or owner.kind != "activation" or owner.name in written:
                continue
            yield violation(Verdict.NOT_WRITTEN, name, f"op {index} reads it first", op.name)
