"""`egrl passes`: the passes over a model, in the order in which they are applied."""

import argparse

from egrl.cli.listing import listing
from egrl.cli.parser import Verbs


def add(verbs: Verbs) -> None:
    """Add the verb."""
    parser = verbs.add_parser("passes", help="list the passes over a model")
    parser.set_defaults(command=command)


def command(args: argparse.Namespace) -> int:
    """List."""
    del args
    from graph_ir.passes import PASSES

    print(listing(PASSES))
    return 0
