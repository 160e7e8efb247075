"""What a tiling rule is given and what it says."""

from dataclasses import dataclass

from graph_ir.workload import MacWork, Op, Role


@dataclass(frozen=True, slots=True)
class SharedOp:
    """An op with matrix products, as the cores share it.

    Attributes:
        op: the op.
        work: the first of its products, as far as the busiest core computes it.
        left_bytes: of all left factors that this core needs.
        right_bytes: of all right factors.
    """

    op: Op
    work: MacWork
    left_bytes: int
    right_bytes: int


@dataclass(frozen=True, slots=True)
class LoopOrder:
    """One order of the loops.

    Attributes:
        name: unique among the orders of an op.
        passes: how often each operand is read (1 for outputs), in operand order.
        left_form: bytes of the left factors as the array reads them over their stored bytes.
        right_form: likewise.
    """

    name: str
    passes: tuple[int, ...]
    left_form: float = 1.0
    right_form: float = 1.0


def passes_of(op: Op, left: int, right: int) -> tuple[int, ...]:
    """How often each operand is read, where the factors are read this often."""
    times = {Role.LEFT: left, Role.RIGHT: right}
    return tuple(times.get(operand.role, 1) for operand in op.operands)
