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


def _linear_rule() -> "Placer":
    """One sort by a linear score of each tensor in each home, its weights fitted."""
    from egrl.placers.linear_rule import LinearRule

    return LinearRule()


def _greedy() -> "Placer":
    """By seconds saved per byte and op of lifetime."""
    from egrl.placers.greedy import Greedy

    return Greedy()


def _greedy_dp() -> "Placer":
    """Every choice of one op at a time, in repeated sweeps (the EGRL paper's baseline)."""
    from egrl.placers.greedy_dp import GreedyDp

    return GreedyDp()


def _random() -> "Placer":
    """Random homes, made to fit by demoting."""
    from egrl.placers.random_search import RandomSearch

    return RandomSearch()


def _anneal() -> "Placer":
    """Simulated annealing: one tensor at a time, room made at random."""
    from egrl.placers.anneal import Anneal

    return Anneal()


def _guided() -> "Placer":
    """Local search led by the engine's attribution of lost time."""
    from egrl.placers.guided import Guided

    return Guided()


def _random_key() -> "Placer":
    """Genetic algorithm over priorities and preferred homes with a greedy decoder."""
    from egrl.placers.random_key import RandomKey

    return RandomKey()


def _lns() -> "Placer":
    """Large-neighbourhood search: the exact solver on some tensors at a time."""
    from egrl.placers.lns import Lns

    return Lns()


def _egrl_paper() -> "Placer":
    """The agent of the EGRL paper: evolution and soft actor-critic together."""
    from egrl.placers.egrl_paper import EgrlPaper

    return EgrlPaper()


def _egrl() -> "Placer":
    """Our agent: a trained policy places at once, search and learning improve on it."""
    from egrl.placers.egrl import Egrl

    return Egrl()


def _exact() -> "Placer":
    """Mixed-integer program with a proven lower bound."""
    from egrl.placers.exact import Exact

    return Exact()


def _auto() -> "Placer":
    """Portfolio: what `egrl` does, and the exact program beside it."""
    from egrl.placers.auto import Auto

    return Auto()


PLACERS: dict[str, Callable[[], "Placer"]] = {
    "all-outermost": _all_outermost,
    "native": _native,
    "acts-first": _acts_first,
    "linear-rule": _linear_rule,
    "greedy": _greedy,
    "greedy-dp": _greedy_dp,
    "random": _random,
    "anneal": _anneal,
    "guided": _guided,
    "random-key": _random_key,
    "lns": _lns,
    "egrl-paper": _egrl_paper,
    "egrl": _egrl,
    "exact": _exact,
    "auto": _auto,
}
