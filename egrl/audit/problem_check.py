"""What JSON types cannot say: names that exist, lifetimes that cover their uses, whole tables."""

from __future__ import annotations

from collections.abc import Container, Iterable
from typing import TYPE_CHECKING

from graph_ir.errors import InputError

if TYPE_CHECKING:
    from egrl.audit.problem import Measured, Problem, ProblemOp, ProblemTensor

MAX_LIVE_BYTES = 2**62
MAX_COMBINATIONS = 4096


def check_problem(problem: Problem, where: str) -> None:
    """Refuses a problem that contradicts itself.

    Args:
        problem: decoded, so that types and ranges of single fields hold.
        where: what to call it in errors.

    Raises:
        InputError: one line with the JSON path.
    """
    tiers = _unique((t.name for t in problem.tiers), f"{where}: $.tiers")
    _unique((t.name for t in problem.tensors), f"{where}: $.tensors")
    tensors = {t.name: t for t in problem.tensors}
    op_count = len(problem.ops)
    if sum(t.size_bytes for t in problem.tensors) > MAX_LIVE_BYTES:
        raise InputError(f"{where}: $.tensors: expected at most {MAX_LIVE_BYTES} bytes in all")
    for index, tensor in enumerate(problem.tensors):
        at = f"{where}: $.tensors[{index}]"
        if not tensor.start < tensor.end <= op_count:
            raise InputError(
                f"{at}: expected start < end <= {op_count} (the number of ops), "
                f"got [{tensor.start}, {tensor.end}) for {tensor.name!r}"
            )
        if tensor.tiers is not None:
            if not tensor.tiers:
                raise InputError(f"{at}.tiers: expected at least one tier, got none")
            for tier in tensor.tiers:
                _known(tier, tiers, "tier", f"{at}.tiers")
    for name, tier in problem.pins.items():
        at = f"{where}: $.pins[{name!r}]"
        _known(name, tensors, "tensor", at)
        _known(tier, tiers, "tier", at)
        allowed = tensors[name].tiers
        if allowed is not None and tier not in allowed:
            raise InputError(f"{at}: expected one of its tiers {allowed}, got {tier!r}")
    for index, op in enumerate(problem.ops):
        _check_op(op, index, problem, tensors, tiers, f"{where}: $.ops[{index}]")


def allowed_tiers(problem: Problem, tensor: ProblemTensor) -> tuple[int, ...]:
    """Indices of the tiers in which a tensor may live, pins applied, outermost first."""
    pin = problem.pins.get(tensor.name)
    return tuple(
        index
        for index, tier in enumerate(problem.tiers)
        if (tensor.tiers is None or tier.name in tensor.tiers) and pin in (None, tier.name)
    )


def touched_tensors(op: ProblemOp) -> list[str]:
    """Names of the tensors that an op's time may depend on, in order of first mention."""
    names = dict.fromkeys(stream.tensor for stream in (*op.reads, *op.writes))
    if op.measured is not None:
        names.update(dict.fromkeys(entry.tensor for entry in op.measured.extra))
        for combination in op.measured.combinations:
            names.update(dict.fromkeys(combination.homes))
    return list(names)


def _check_op(
    op: ProblemOp,
    index: int,
    problem: Problem,
    tensors: dict[str, ProblemTensor],
    tiers: frozenset[str],
    at: str,
) -> None:
    for field, streams in (("reads", op.reads), ("writes", op.writes)):
        for number, stream in enumerate(streams):
            _known(stream.tensor, tensors, "tensor", f"{at}.{field}[{number}].tensor")
    if op.measured is not None:
        _check_measured(op, op.measured, problem, tensors, tiers, f"{at}.measured")
    for name in touched_tensors(op):
        tensor = tensors[name]
        if not tensor.start <= index < tensor.end:
            raise InputError(
                f"{at}: {name!r} is used by op {index}, expected that within its lifetime, "
                f"got [{tensor.start}, {tensor.end})"
            )


def _check_measured(
    op: ProblemOp,
    measured: Measured,
    problem: Problem,
    tensors: dict[str, ProblemTensor],
    tiers: frozenset[str],
    at: str,
) -> None:
    if measured.base_s is None and not measured.combinations:
        raise InputError(f"{at}: expected base_s or combinations, got neither")
    if measured.extra and measured.base_s is None:
        raise InputError(f"{at}.extra: expected base_s beside it, got none")
    table: dict[str, dict[str, float]] = {}
    for number, entry in enumerate(measured.extra):
        here = f"{at}.extra[{number}]"
        _known(entry.tensor, tensors, "tensor", f"{here}.tensor")
        _known(entry.tier, tiers, "tier", f"{here}.tier")
        row = table.setdefault(entry.tensor, {})
        if entry.tier in row:
            raise InputError(f"{here}: {entry.tensor!r} in {entry.tier!r} is given twice")
        row[entry.tier] = entry.seconds
    least_s = measured.base_s or 0.0
    for name, row in table.items():
        needed = [problem.tiers[m].name for m in allowed_tiers(problem, tensors[name])]
        missing = [tier for tier in needed if tier not in row]
        if missing:
            raise InputError(
                f"{at}.extra: expected an entry of {name!r} for each tier that may hold it, "
                f"got none for {missing[0]!r}"
            )
        least_s += min(row[tier] for tier in needed)
    if least_s < 0:
        raise InputError(f"{at}: expected base_s plus extras of at least 0, got {least_s} s")
    _check_combinations(op, measured, problem, tensors, tiers, at)


def _check_combinations(
    op: ProblemOp,
    measured: Measured,
    problem: Problem,
    tensors: dict[str, ProblemTensor],
    tiers: frozenset[str],
    at: str,
) -> None:
    seen: set[tuple[str, ...]] = set()
    for number, combination in enumerate(measured.combinations):
        here = f"{at}.combinations[{number}].homes"
        for name, tier in combination.homes.items():
            _known(name, tensors, "tensor", here)
            _known(tier, tiers, "tier", here)
    names = touched_tensors(op)
    count = 1
    for name in names:
        count *= len(allowed_tiers(problem, tensors[name]))
        if measured.combinations and count > MAX_COMBINATIONS:
            raise InputError(
                f"{at}.combinations: expected an op with at most {MAX_COMBINATIONS} combinations "
                f"of homes, got more"
            )
    for number, combination in enumerate(measured.combinations):
        here = f"{at}.combinations[{number}].homes"
        missing = [name for name in names if name not in combination.homes]
        if missing:
            raise InputError(
                f"{here}: expected a tier for each tensor of the op, got none for {missing[0]!r}"
            )
        key = tuple(combination.homes[name] for name in names)
        if key in seen:
            raise InputError(f"{here}: the same homes are given twice")
        seen.add(key)


def _unique(names: Iterable[str], at: str) -> frozenset[str]:
    seen: dict[str, int] = {}
    for index, name in enumerate(names):
        if name in seen:
            raise InputError(
                f"{at}[{index}].name: expected a unique name, got {name!r} as in {seen[name]}"
            )
        seen[name] = index
    return frozenset(seen)


def _known(name: str, known: Container[str], what: str, at: str) -> None:
    if name not in known:
        raise InputError(f"{at}: expected the name of a {what}, got {name!r}")
