"""The flags of a machine that answers a plan with a latency; `docs/evaluator.md`."""

import argparse
from typing import TYPE_CHECKING

from egrl.cli.values import positive_number, positive_seconds
from graph_ir.errors import InputError

if TYPE_CHECKING:
    from egrl.evaluators.command import Command

OPTIONS = ("evaluator_repeats", "evaluator_timeout", "evaluator_jobs")


def add_evaluator(parser: argparse.ArgumentParser) -> None:
    """Add the flags, which `evaluator_command` reads."""
    parser.add_argument(
        "--evaluator",
        metavar="CMD",
        help="search on a machine: a command that is given a plan file ({plan}, or the last "
        "argument) and prints seconds",
    )
    parser.add_argument(
        "--evaluator-repeats",
        type=positive_number,
        metavar="N",
        help="measurements of every plan, of which the median counts (default: 1)",
    )
    parser.add_argument(
        "--evaluator-timeout",
        type=_timeout,
        metavar="60s",
        help="time of one measurement until it counts as failed (default: 60s)",
    )
    parser.add_argument(
        "--evaluator-jobs",
        type=positive_number,
        metavar="N",
        help="plans measured at the same time (default: 1)",
    )


def evaluator_command(args: argparse.Namespace) -> "Command | None":
    """The machine of the flags, or None.

    Raises:
        InputError: a flag about a machine without one, or a value out of range.
    """
    given = {name: getattr(args, name) for name in OPTIONS if getattr(args, name) is not None}
    if args.evaluator is None:
        for name in given:
            raise InputError(f"--{name.replace('_', '-')}: expected --evaluator beside it")
        return None
    from egrl.evaluators.command import DEFAULT_TIMEOUT_S, Command

    return Command(
        args.evaluator,
        repeats=given.get("evaluator_repeats", 1),
        timeout_s=given.get("evaluator_timeout", DEFAULT_TIMEOUT_S),
        jobs=given.get("evaluator_jobs", 1),
    )


def _timeout(text: str) -> float:
    """Seconds, with or without their unit."""
    return positive_seconds(text.removesuffix("s"))
