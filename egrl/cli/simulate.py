"""`egrl simulate`: the latency report of artifacts or models."""

import argparse
from pathlib import Path

from egrl.cli.files import check_writable, write_file
from egrl.cli.parser import Verbs
from egrl.cli.values import extents, not_built, whole_number
from graph_ir.errors import InputError


def add(verbs: Verbs) -> None:
    """Add the verb."""
    parser = verbs.add_parser(
        "simulate",
        help="report the latency of artifacts or models",
        description="Simulates artifacts as they are planned, or places a model and simulates "
        "that. An artifact on another target is placed again, and the report says so.",
    )
    parser.add_argument("sources", nargs="+", metavar="OUT.egrl|MODEL.onnx")
    parser.add_argument("--target", metavar="NAME|FILE.toml", help="default: the artifact's")
    parser.add_argument("--precision", metavar="TYPE", help="execution type of a model")
    parser.add_argument(
        "--budget",
        default="10s",
        metavar="10s|4000ev",
        help="of the search, where one is needed (default: 10s)",
    )
    parser.add_argument("--seed", type=whole_number, default=0, metavar="N", help="default: 0")
    parser.add_argument(
        "--dim",
        action="append",
        default=[],
        metavar="NAME=NUMBER",
        help="extent of a symbolic dimension (may be repeated)",
    )
    parser.add_argument("--html", type=Path, metavar="F", help="not built yet")
    parser.add_argument("--trace", type=Path, metavar="F", help="Chrome/Perfetto trace (JSON)")
    parser.add_argument("--csv", type=Path, metavar="F", help="one row per op")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of text")
    parser.epilog = "With several graphs --trace and --csv insert the name: F.NAME.SUFFIX."
    parser.set_defaults(command=command)


def command(args: argparse.Namespace) -> int:
    """Simulate."""
    not_built("--html", args.html)
    dims = extents(args.dim)
    for path in (args.trace, args.csv):
        check_writable(path)

    import json

    import msgspec

    from accelerator_sim.report_csv import report_csv
    from accelerator_sim.report_text import report_text
    from accelerator_sim.trace import trace_json
    from egrl import api
    from egrl.cli.progress import shown_progress

    with shown_progress("simulate", args.budget) as progress:
        simulations = api.simulate(
            args.sources,
            target=args.target,
            precision=args.precision,
            dims=dims,
            budget=args.budget,
            seed=args.seed,
            progress=progress,
        )
    names = [simulation.name for simulation in simulations]
    traces = output_paths(args.trace, names)
    tables = output_paths(args.csv, names)
    for simulation, trace, table in zip(simulations, traces, tables, strict=True):
        if trace is not None:
            problem, homes = simulation.problem, simulation.homes
            write_file(trace, trace_json(problem, homes, simulation.timeline))
        if table is not None:
            write_file(table, report_csv(simulation.report).encode())
    if args.json:
        rows = [{"name": s.name, "note": s.note, "report": s.report} for s in simulations]
        print(json.dumps(msgspec.to_builtins({"simulations": rows})))
        return 0
    for position, simulation in enumerate(simulations):
        if position:
            print()
        if simulation.note:
            print(f"note: {simulation.note}")
        print(report_text(simulation.report))
    for path in (*traces, *tables):
        if path is not None:
            print(f"wrote {path}")
    return 0


def output_paths(path: Path | None, names: list[str]) -> list[Path | None]:
    """Where the output of each simulation goes: `path`, or one file per name where several.

    Raises:
        InputError: a name cannot be part of a file name.
    """
    if path is None or len(names) == 1:
        return [path for _ in names]
    paths: list[Path | None] = []
    for position, name in enumerate(names):
        label = "".join(c if c.isascii() and (c.isalnum() or c in "-_.") else "_" for c in name)
        if label in ("", ".", ".."):
            raise InputError(f"{path}: cannot name a file after simulation {position}: {name!r}")
        candidate = path.with_name(f"{path.stem}.{label}{path.suffix}")
        if candidate in paths:
            candidate = path.with_name(f"{path.stem}.{label}-{position}{path.suffix}")
        paths.append(candidate)
    return paths
