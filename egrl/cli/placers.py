"""`egrl placers`: the ways to place."""

import argparse

from egrl.cli.listing import listing
from egrl.cli.parser import Verbs


def add(verbs: Verbs) -> None:
    """Add the verb."""
    parser = verbs.add_parser("placers", help="list the ways to place")
    parser.set_defaults(command=command)


def command(args: argparse.Namespace) -> int:
    """List."""
    del args
    from egrl.placers import PLACERS

    print(listing(PLACERS))
    return 0
