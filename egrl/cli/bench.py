"""`egrl bench`: regenerate the documents under `docs/benchmarks/`."""

import argparse
from importlib import import_module
from pathlib import Path

from egrl.cli.files import check_writable
from egrl.cli.parser import Verbs

# Suite to the module whose `run(out: Path) -> None` measures it and writes the document.
SUITES: dict[str, str] = {
    "placement": "egrl.bench.placement",
    "engine": "egrl.bench.engine",
    "allocate": "egrl.bench.allocate",
}


def add(verbs: Verbs) -> None:
    """Add the verb."""
    parser = verbs.add_parser("bench", help="measure and rewrite a document of docs/benchmarks")
    parser.add_argument("suite", choices=tuple(SUITES), metavar="SUITE", help=", ".join(SUITES))
    parser.add_argument("-o", "--out", type=Path, help="default: docs/benchmarks/SUITE.md")
    parser.set_defaults(command=command)


def command(args: argparse.Namespace) -> int:
    """Measure."""
    out = Path("docs", "benchmarks", f"{args.suite}.md") if args.out is None else args.out
    check_writable(out)
    import_module(SUITES[args.suite]).run(out)
    print(f"wrote {out}")
    return 0
