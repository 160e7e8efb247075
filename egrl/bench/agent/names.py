"""Refuses names that no chosen experiment has; they would measure nothing without a word."""

from collections.abc import Iterable

from egrl.bench.agent import equal_time, open_problems, protocol, real_machine, schedules, unknown
from egrl.bench.agent.cases import PROTOCOL_CASES, TIME_CASES, UNKNOWN_CASES, Case
from egrl.bench.agent.methods import METHODS
from egrl.bench.agent.settings import PARTS, Settings
from graph_ir.errors import InputError

CASES: dict[str, tuple[Case, ...]] = {
    protocol.PART: PROTOCOL_CASES,
    schedules.PART: schedules.CASES,
    equal_time.PART: TIME_CASES,
    unknown.PART: UNKNOWN_CASES,
}
"""Of the experiments on models."""


def check_names(settings: Settings) -> None:
    """Every chosen model, target, execution type and method is one of a chosen experiment.

    Raises:
        InputError: one is not.
    """
    parts = settings.agent.parts or PARTS
    cases = [case for part in parts for case in CASES.get(part, ())]
    models, targets = [case.model for case in cases], [case.target for case in cases]
    if open_problems.PART in parts:
        models += [case.workload for case in open_problems.OPEN_CASES]
        targets += [case.target for case in open_problems.OPEN_CASES]
    if real_machine.PART in parts:
        models += real_machine.MODELS
    methods = [name for name, method in METHODS.items() if set(method.parts) & set(parts)]
    _check("--model", settings.common.models, models)
    _check("--target", settings.common.targets, targets)
    _check("--precision", settings.agent.precisions, [case.precision for case in cases])
    _check("--method", settings.agent.methods, methods)


def _check(option: str, chosen: Iterable[str], known: Iterable[str]) -> None:
    names = list(dict.fromkeys(known))
    for name in chosen:
        if name not in names:
            raise InputError(f"{option} {name}: expected {_one_of(names)}")


def _one_of(names: list[str]) -> str:
    return f"one of {', '.join(names)}" if names else "none, the experiment takes no such option"
