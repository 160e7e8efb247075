"""`egrl audit`: the certified gap of somebody else's plan, and the moves that recover most."""

import argparse
from pathlib import Path

from egrl.cli.files import check_writable
from egrl.cli.parser import Verbs
from egrl.cli.values import positive_seconds, whole_number
from graph_ir.errors import InputError

IMPORT_FORMATS = ("minimalloc", "vela")


def add(verbs: Verbs) -> None:
    """Add the verb."""
    parser = verbs.add_parser(
        "audit",
        help="judge somebody else's placement",
        description="Judges a placement: its certified gap under the stated costs, the moves that "
        "recover most, and the pins to paste. The format is in docs/audit.md.",
    )
    parser.add_argument("problem", type=Path, metavar="PROBLEM.json")
    parser.add_argument("--plan", type=Path, metavar="THEIRS.json", help="the plan to judge")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of text")
    parser.add_argument("--pins", type=Path, metavar="OUT.toml", help="write the pins")
    parser.add_argument(
        "--import",
        dest="import_format",
        choices=IMPORT_FORMATS,
        help="PROBLEM is a CSV of this tool",
    )
    parser.add_argument(
        "--capacity", type=whole_number, metavar="BYTES", help="inner memory of an imported problem"
    )
    parser.add_argument(
        "--select",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="rows of a Vela file to take (may be repeated)",
    )
    parser.add_argument(
        "--write-problem", type=Path, metavar="OUT.json", help="save the problem as understood"
    )
    parser.add_argument("--budget", type=positive_seconds, metavar="SECONDS", help="of the search")
    parser.set_defaults(command=command)


def command(args: argparse.Namespace) -> int:
    """Audit."""
    for path in (args.pins, args.write_problem):
        check_writable(path)
    select = _selection(args.select)

    from egrl.audit.audit import TIME_LIMIT_S
    from egrl.audit.command import run_audit

    return run_audit(
        args.problem,
        args.plan,
        args.json,
        args.import_format,
        capacity_bytes=args.capacity,
        select=select,
        write_problem=args.write_problem,
        pins_path=args.pins,
        time_limit_s=TIME_LIMIT_S if args.budget is None else args.budget,
    )


def _selection(pairs: list[str]) -> dict[str, str]:
    result: dict[str, str] = {}
    for pair in pairs:
        name, sign, value = pair.partition("=")
        if not sign or not name or name in result:
            raise InputError(f"--select {pair}: expected NAME=VALUE, each name once")
        result[name] = value
    return result
