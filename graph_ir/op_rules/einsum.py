"""Einsum of two operands, as a batch of matrix products."""

from dataclasses import dataclass
from math import prod

from graph_ir.errors import InputError


@dataclass(frozen=True, slots=True)
class Contraction:
    """`batch` products `[rows, inner] x [inner, columns]`."""

    batch: int
    rows: int
    inner: int
    columns: int


def parse_contraction(
    node: str, equation: str, left_shape: tuple[int, ...], right_shape: tuple[int, ...]
) -> Contraction:
    """Sorts the indices of an equation such as `bhid,bhjd->bhij`.

    Args:
        node: name, for the error message.
        equation: of the Einsum, with or without `->`, `...` standing for leading axes.
        left_shape: of the first operand.
        right_shape: of the second.

    Raises:
        InputError: for what is no product (repeated indices, other than two operands).
    """
    text = equation.replace(" ", "")
    operands, arrow, result = text.partition("->")
    terms = operands.split(",")
    if len(terms) != 2:
        raise InputError(
            f"no lowering rule for op Einsum (node {node}): expected two terms, got {equation!r}"
        )
    left = _labels(node, equation, terms[0], len(left_shape))
    right = _labels(node, equation, terms[1], len(right_shape))
    extents: dict[str, int] = {}
    for label, extent in [
        *zip(left, left_shape, strict=True),
        *zip(right, right_shape, strict=True),
    ]:
        extents[label] = max(extents.get(label, 1), extent)
    if arrow:
        dots = [label for label in dict.fromkeys(left + right) if label.startswith(".")]
        kept = set(dots if "..." in result else []) | set(result.replace("...", ""))
    else:
        kept = {
            label
            for label in extents
            if label.startswith(".") or (label in left) != (label in right)
        }
    in_left, in_right = set(left), set(right)

    def extent_of(*, left: bool, right: bool, kept_: bool) -> int:
        return prod(
            extents[label]
            for label in extents
            if (label in in_left) == left
            and (label in in_right) == right
            and (label in kept) == kept_
        )

    # An index of one operand alone that is summed away is reduced before the product.
    return Contraction(
        batch=extent_of(left=True, right=True, kept_=True),
        rows=extent_of(left=True, right=False, kept_=True),
        inner=extent_of(left=True, right=True, kept_=False),
        columns=extent_of(left=False, right=True, kept_=True),
    )


def _labels(node: str, equation: str, term: str, rank: int) -> list[str]:
    """One label an axis; axes under `...` are numbered from the right."""
    head, dots, tail = term.partition("...")
    hidden = rank - len(head) - len(tail)
    labels = [*head, *(f".{at}" for at in range(hidden, 0, -1) if dots), *tail]
    if len(labels) != rank or len(set(labels)) != rank:
        raise InputError(
            f"no lowering rule for op Einsum (node {node}): expected {rank} different indices "
            f"for each axis, got {equation!r}"
        )
    return labels
