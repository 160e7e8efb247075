"""`egrl targets`: the accelerators that are shipped, and a check of one's own."""

import argparse
import os

from egrl.cli.parser import Verbs


def add(verbs: Verbs) -> None:
    """Add the verb."""
    parser = verbs.add_parser("targets", help="list, show and check accelerators")
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument("--show", metavar="NAME|FILE.toml", help="every number with its source")
    choice.add_argument("--check", metavar="FILE", help="whether a TOML file is a valid target")
    parser.set_defaults(command=command)


def command(args: argparse.Namespace) -> int:
    """List, show or check."""
    from accelerator_sim.targets import TARGETS, load_target, parse_target, target_text
    from accelerator_sim.targets_text import target_table, targets_text

    if args.show is not None:
        text, where = target_text(args.show)
        print(target_table(parse_target(text, where), text))
    elif args.check is not None:
        # A file, also where it is called like a shipped target.
        path = args.check if os.sep in args.check else f".{os.sep}{args.check}"
        target = load_target(path)
        tiers = ", ".join(tier.name for tier in target.tiers)
        print(f"{args.check}: good: {target.name}, {target.core_count} cores, tiers {tiers}")
    else:
        print(targets_text([load_target(name) for name in TARGETS]))
    return 0
