"""Making a problem from plain values, for compilers that write one."""

from collections.abc import Iterable, Mapping

from egrl.audit.problem import (
    PROBLEM_SCHEMA,
    Problem,
    ProblemOp,
    ProblemTensor,
    ProblemTier,
    encode_problem,
    parse_problem,
)


def problem_from_parts(
    tiers: Iterable[ProblemTier],
    tensors: Iterable[ProblemTensor],
    ops: Iterable[ProblemOp],
    *,
    name: str = "",
    pins: Mapping[str, str] | None = None,
) -> Problem:
    """A checked problem.

    Constructors of the parts do not validate; this does, through the file format, so that what
    it returns is what `read_problem` would read back from `encode_problem`.

    Args:
        tiers: outermost first.
        tensors: in any order; it breaks ties.
        ops: in execution order.
        name: of the model.
        pins: tier by tensor name.

    Raises:
        InputError: the parts contradict each other.
    """
    problem = Problem(
        schema=PROBLEM_SCHEMA,
        tiers=list(tiers),
        tensors=list(tensors),
        ops=list(ops),
        name=name,
        pins=dict(pins or {}),
    )
    return parse_problem(encode_problem(problem).decode("utf-8"), "problem")
