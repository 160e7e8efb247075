"""`egrl verify`: digests, schemas, graphs and plans of an artifact."""

import argparse
from pathlib import Path

from egrl.cli.parser import Verbs


def add(verbs: Verbs) -> None:
    """Add the verb."""
    parser = verbs.add_parser("verify", help="check that an artifact is whole and its plan valid")
    parser.add_argument("artifact", type=Path, metavar="OUT.egrl")
    parser.set_defaults(command=command)


def command(args: argparse.Namespace) -> int:
    """Verify."""
    from runtime.load import verify_artifact

    manifest = verify_artifact(args.artifact).manifest
    print(
        f"{args.artifact}: good: {len(manifest.files)} files match their digests, "
        f"plans are valid ({', '.join(manifest.graphs)})"
    )
    return 0
