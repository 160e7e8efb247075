"""Check of streamed tensors: an op that takes one from the staging ring gets all of it."""

from collections.abc import Iterator, Sequence

from accelerator_sim.plan import Plan
from accelerator_sim.validate.copies import StagedSlice
from accelerator_sim.validate.tensors import period
from accelerator_sim.validate.violation import Verdict, Violation, violation

_Key = tuple[str, int]


def check_streams(plan: Plan, slices: Sequence[StagedSlice]) -> Iterator[Violation]:
    """The slices of a tensor for an op cover it. What is gathered by address has no slices.

    A slice that arrives during one reader, right before another one, may be late for the first or
    early for the second: it counts for both, and one of them must be satisfied.
    """
    ops = period(plan)
    certain: dict[_Key, list[StagedSlice]] = {}
    doubtful: dict[_Key, list[StagedSlice]] = {}
    for piece in slices:
        key = (piece.span.label, piece.consumer % ops)
        if piece.doubtful:
            doubtful.setdefault(key, []).append(piece)
            doubtful.setdefault((key[0], key[1] + 1), []).append(piece)
        else:
            certain.setdefault(key, []).append(piece)
    missing = {
        key: _missing([*certain.get(key, ()), *doubtful.get(key, ())])
        for key in dict.fromkeys([*certain, *doubtful])
    }
    refused: set[_Key] = set()
    for key in certain:
        if missing[key] is not None:
            refused.add(key)
            yield _not_covered(plan, key, missing[key])
    for piece in slices:
        key = (piece.span.label, piece.consumer % ops)
        if not piece.doubtful or key in refused or missing[key] is None:
            continue
        if missing[key[0], key[1] + 1] is not None:
            refused.add(key)
            yield _not_covered(plan, key, missing[key])


def _missing(slices: Sequence[StagedSlice]) -> tuple[int, int] | None:
    """The first bytes of the tensor (of its share, where it lies partitioned) that none brings."""
    reached = 0
    whole = max(piece.home_bytes for piece in slices)
    for piece in sorted(slices, key=lambda p: p.first_byte):
        if piece.first_byte > reached:
            return reached, piece.first_byte
        reached = max(reached, piece.first_byte + piece.moved_bytes)
    return None if reached >= whole else (reached, whole)


def _not_covered(plan: Plan, key: _Key, missing: tuple[int, int] | None) -> Violation:
    name, op = key
    first, last = missing or (0, 0)
    text = f"no slice for op {op} brings bytes [{first}, {last})"
    return violation(Verdict.NOT_STREAMED, name, text, plan.ops[op].name if plan.ops else "")
