"""`egrl bench`: regenerate the documents under `docs/benchmarks/`."""

import argparse
from importlib import import_module
from pathlib import Path

from egrl.cli.files import check_writable
from egrl.cli.parser import Verbs
from egrl.cli.values import positive_number
from graph_ir.errors import InputError

# Suite to the module whose `run(options: BenchOptions) -> None` measures and writes the document.
SUITES: dict[str, str] = {
    "placement": "egrl.bench.placement",
    "engine": "egrl.bench.engine",
    "ranking": "egrl.bench.ranking",
    "tiered": "egrl.bench.tiered",
    "host": "egrl.bench.host",
    "numerics": "egrl.bench.numerics",
    "allocate": "egrl.bench.allocate",
    "agent": "egrl.bench.agent.run",
    "zero_shot": "egrl.bench.zero_shot",
    "int4": "egrl.bench.int4.run",
    "joint": "egrl.bench.joint",
    "kv": "egrl.bench.kv.run",
}

# Suites that can be measured in parts.
PARTS: dict[str, tuple[str, ...]] = {
    "agent": ("protocol", "schedules", "time", "unknown", "real", "open"),
    "zero_shot": ("rows", "start", "cost"),
    "int4": ("quality", "speed"),
    "kv": ("exactness", "quality", "speed", "simulated"),
}

# Documents that are not in docs/benchmarks.
DOCUMENTS: dict[str, Path] = {"host": Path("docs", "validation_host.md")}


def add(verbs: Verbs) -> None:
    """Add the verb."""
    parser = verbs.add_parser(
        "bench",
        help="measure and rewrite a document of docs/benchmarks",
        description="Measures on the models that scripts/models builds, and rewrites a document.",
    )
    parser.add_argument(
        "suite", choices=tuple(SUITES), metavar="SUITE", help=f"one of {', '.join(SUITES)}"
    )
    parser.add_argument(
        "-o", "--out", type=Path, metavar="F.md", help="default: docs/benchmarks/SUITE.md"
    )
    parser.add_argument(
        "--folder", type=Path, metavar="DIR", help="built models (default: EGRL_CACHE)"
    )
    parser.add_argument(
        "--model", action="append", default=[], metavar="NAME", help="only this (may be repeated)"
    )
    parser.add_argument(
        "--target", action="append", default=[], metavar="NAME", help="only this (may be repeated)"
    )
    parser.add_argument(
        "--seconds", type=positive_number, default=60, metavar="N", help="of auto and exact"
    )
    parser.add_argument(
        "--long-seconds", type=positive_number, default=600, metavar="N", help="of the second look"
    )
    _add_agent(parser)
    parser.set_defaults(command=command)


def _add_agent(parser: argparse.ArgumentParser) -> None:
    """Flags of the suite `agent`."""
    group = parser.add_argument_group("agent")
    group.add_argument(
        "--part",
        action="append",
        default=[],
        metavar="NAME",
        help="only this (may be repeated) of "
        + "; ".join(f"{suite}: {', '.join(parts)}" for suite, parts in PARTS.items()),
    )
    group.add_argument(
        "--method", action="append", default=[], metavar="NAME", help="only this (may be repeated)"
    )
    group.add_argument(
        "--precision", action="append", default=[], metavar="TYPE", help="only this (likewise)"
    )
    group.add_argument("--seeds", type=positive_number, metavar="N", help="default: by experiment")
    group.add_argument(
        "--evaluations", type=positive_number, metavar="N", help="of a run (default: 4000)"
    )
    group.add_argument(
        "--jobs", type=positive_number, default=1, metavar="N", help="processes (default: 1)"
    )
    group.add_argument(
        "--again", action="store_true", help="measure rows that are there already as well"
    )
    group.add_argument(
        "--merge",
        action="append",
        default=[],
        type=Path,
        metavar="F.json",
        help="take over the rows of another run (may be repeated)",
    )
    group.add_argument(
        "--rewrite", action="store_true", help="measure nothing, write the document from the rows"
    )


def command(args: argparse.Namespace) -> int:
    """Measure."""
    from egrl.bench.agent.settings import AgentOptions
    from egrl.bench.model_index import models_folder
    from egrl.bench.options import BenchOptions

    for part in args.part:
        if part not in PARTS.get(args.suite, ()):
            known = ", ".join(PARTS.get(args.suite, ())) or "none"
            raise InputError(f"--part {part}: {args.suite} has {known}")
    usual = DOCUMENTS.get(args.suite, Path("docs", "benchmarks", f"{args.suite}.md"))
    out = usual if args.out is None else args.out
    check_writable(args.out)
    options = BenchOptions(
        out=out,
        folder=models_folder() if args.folder is None else args.folder,
        models=args.model,
        targets=args.target,
        seconds=float(args.seconds),
        long_seconds=float(args.long_seconds),
        agent=AgentOptions(
            parts=tuple(args.part),
            methods=tuple(args.method),
            precisions=tuple(args.precision),
            seeds=args.seeds,
            evaluations=args.evaluations,
            jobs=args.jobs,
            again=args.again,
            merge=tuple(args.merge),
            rewrite=args.rewrite,
        ),
    )
    import_module(SUITES[args.suite]).run(options)
    print(f"wrote {out}")
    return 0
