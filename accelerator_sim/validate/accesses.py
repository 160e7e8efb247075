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
                text = f"op {index} uses it, it lives at {_lives(owner)}"
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


def check_io(plan: Plan, owner_of: Mapping[str, PlanTensor]) -> Iterator[Violation]:
    """Inputs are there when an inference begins, outputs when it ends.

    What an op reads that no op wrote before is an input; what any op writes is an output.
    """
    ops = period(plan)
    written: set[str] = set()
    judged: set[str] = set()
    for op in plan.ops:
        for name in op.reads:
            owner = owner_of.get(name)
            # What an op writes in place it may list among what it reads.
            if owner is None or owner.kind != "io" or name in op.writes or owner.name in written:
                continue
            if owner.name in judged or any(covers(r, 0, ops) for r in owner.residences):
                continue
            judged.add(owner.name)
            text = f"it is an input, it lives at {_lives(owner)} and not from op 0 on"
            yield violation(Verdict.NOT_LIVE, name, text, op.name)
        written.update(owner_of[name].name for name in op.writes if name in owner_of)
    last_writer = {owner_of[n].name: op for op in plan.ops for n in op.writes if n in owner_of}
    for name, op in last_writer.items():
        owner = owner_of[name]
        if owner.kind == "io" and not any(covers(r, ops - 1, ops) for r in owner.residences):
            text = f"it is an output, it lives at {_lives(owner)} and not until the last op"
            yield violation(Verdict.NOT_LIVE, name, text, op.name)


def _lives(owner: PlanTensor) -> str:
    return ", ".join(f"[{r.start}, {r.end})" for r in owner.residences[:4]) or "no op"
