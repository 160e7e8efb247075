"""The ways to place, by name. A factory imports its placer when it is called."""

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from egrl.placers.base import Placer


def _all_outermost() -> "Placer":
    """Everything in the outermost tier."""
    from egrl.placers.all_outermost import AllOutermost

    return AllOutermost()


def _native() -> "Placer":
    """First fit in execution order, as vendors' compilers do; normalises rewards."""
    from egrl.placers.native import Native

    return Native()


def _acts_first() -> "Placer":
    """Activations by rising size, then weights by the stall that they save per byte."""
    from egrl.placers.acts_first import ActsFirst

    return ActsFirst()


def _greedy() -> "Placer":
    """By seconds saved per byte and op of lifetime."""
    from egrl.placers.greedy import Greedy

    return Greedy()


def _exact() -> "Placer":
    """Mixed-integer program with a proven lower bound."""
    from egrl.placers.exact import Exact

    return Exact()


def _auto() -> "Placer":
    """Portfolio: references, exact program and local search beside each other."""
    from egrl.placers.auto import Auto

    return Auto()


PLACERS: dict[str, Callable[[], "Placer"]] = {
    "all-outermost": _all_outermost,
    "native": _native,
    "acts-first": _acts_first,
    "greedy": _greedy,
    "exact": _exact,
    "auto": _auto,
}
