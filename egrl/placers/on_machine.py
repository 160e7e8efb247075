"""Placers that can search a machine which they do not know."""

from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace

from egrl.evaluators.base import Evaluator
from egrl.placers import PLACERS
from egrl.placers.base import Placer
from graph_ir.errors import InputError

FIELD = "evaluator"
"""Of the dataclass of such a placer."""


def placer_on(name: str, evaluator: Evaluator | None) -> Placer:
    """A placer by name, searching on a machine or on the engine.

    Raises:
        InputError: no such placer, or it knows only the engine.
    """
    if name not in PLACERS:
        raise InputError(f"placer {name}: unknown; expected one of {', '.join(PLACERS)}")
    placer = PLACERS[name]()
    if evaluator is None:
        return placer
    if not _takes_evaluator(placer) or not is_dataclass(placer):
        able = ", ".join(other for other, make in PLACERS.items() if _makes_searcher(make))
        raise InputError(f"placer {name}: cannot search with --evaluator; expected one of {able}")
    searching: Placer = replace(placer, evaluator=evaluator)
    return searching


def _makes_searcher(make: Callable[[], Placer]) -> bool:
    return _takes_evaluator(make())


def _takes_evaluator(placer: Placer) -> bool:
    return is_dataclass(placer) and FIELD in {field.name for field in fields(placer)}
