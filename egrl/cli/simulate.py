"""`egrl simulate`: the latency report of artifacts or models, side by side where several."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from egrl.cli.files import check_writable, write_file
from egrl.cli.parser import Verbs
from egrl.cli.values import add_dims, extents, positive_number, whole_number
from graph_ir.errors import InputError

if TYPE_CHECKING:
    from accelerator_sim.report_case import ReportCase

MAX_LABEL = 100


def add(verbs: Verbs) -> None:
    """Add the verb."""
    parser = verbs.add_parser(
        "simulate",
        help="report the latency of artifacts or models, side by side",
        description="Simulates artifacts as they are planned, or places a model and simulates "
        "that. An artifact on another target is placed again, and the report says so. Several "
        "sources or placers are compared.",
    )
    parser.add_argument("sources", nargs="+", metavar="OUT.egrl|MODEL.onnx")
    parser.add_argument("--target", metavar="NAME|FILE.toml", help="default: the artifact's")
    parser.add_argument("--precision", metavar="TYPE", help="execution type of a model")
    parser.add_argument(
        "--placer",
        action="append",
        default=[],
        metavar="NAME",
        help="may be repeated: one case each (default: auto; an artifact: its plan)",
    )
    parser.add_argument(
        "--budget",
        default="10s",
        metavar="10s|4000ev",
        help="of each search, where one is needed (default: 10s)",
    )
    parser.add_argument("--seed", type=whole_number, default=0, metavar="N", help="default: 0")
    parser.add_argument(
        "--groups",
        type=positive_number,
        default=1,
        metavar="N",
        help="throughput mode: N inferences at a time, each on its share of the cores",
    )
    add_dims(parser)
    parser.add_argument(
        "--advice",
        action=argparse.BooleanOptionalAction,
        help="place and simulate again with more memory, bandwidth, narrower weights, and say "
        "what that would bring (default: with --html)",
    )
    parser.add_argument("--html", type=Path, metavar="F", help="one page for all cases")
    parser.add_argument("--markdown", type=Path, metavar="F", help="for a pull request")
    parser.add_argument("--trace", type=Path, metavar="F", help="Chrome/Perfetto trace (JSON)")
    parser.add_argument("--csv", type=Path, metavar="F", help="one row per op")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of text")
    parser.epilog = "With several cases --trace and --csv insert the name: F.NAME.SUFFIX."
    parser.set_defaults(command=command)


def command(args: argparse.Namespace) -> int:
    """Simulate."""
    dims = extents(args.dim)
    _check_outputs(args.html, args.markdown, args.trace, args.csv)
    if args.html is not None:
        _check_page(len(args.sources) * max(1, len(set(args.placer))))

    from egrl import api
    from egrl.cli.progress import shown_progress

    with shown_progress("simulate", args.budget) as progress:
        cases = api.simulate(
            args.sources,
            target=args.target,
            precision=args.precision,
            dims=dims,
            placers=args.placer,
            budget=args.budget,
            seed=args.seed,
            groups=args.groups,
            advice=args.html is not None if args.advice is None else args.advice,
            progress=progress,
        )
    written = _write(args, cases)
    if args.json:
        print(json_text(cases))
        return 0
    print(text(cases, advised=bool(args.advice) or (args.advice is None and args.html is not None)))
    for path in written:
        print(f"wrote {path}")
    return 0


def _check_outputs(*paths: Path | None) -> None:
    """Refuse what could not be written, and one file that two outputs would share.

    Raises:
        InputError: naming the path.
    """
    seen: list[Path] = []
    for path in paths:
        check_writable(path)
        if path is None:
            continue
        if path.absolute() in seen and (path.is_file() or not path.exists()):
            raise InputError(f"{path}: expected a file of its own for each output, got it twice")
        seen.append(path.absolute())


def _check_page(cases: int) -> None:
    """Refuse more cases than a page shows, before minutes are spent on them.

    Raises:
        InputError: there will be too many.
    """
    from accelerator_sim.html.limits import MAX_CASES

    if cases > MAX_CASES:
        raise InputError(f"--html: expected at most {MAX_CASES} cases on a page, got {cases}")


def _write(args: argparse.Namespace, cases: "Sequence[ReportCase]") -> list[Path]:
    """All files that were asked for, each whole; returns their paths."""
    from accelerator_sim.report_csv import report_csv
    from accelerator_sim.report_markdown import report_markdown
    from accelerator_sim.trace import trace_json

    files: list[tuple[Path, bytes]] = []
    if args.html is not None:
        from accelerator_sim.html import report_html

        files.append((args.html, report_html(cases).encode()))
    if args.markdown is not None:
        files.append((args.markdown, report_markdown(cases).encode()))
    names = case_names(cases)
    for case, path in zip(cases, output_paths(args.trace, names), strict=True):
        if path is not None:
            files.append((path, trace_json(case.problem, case.homes, case.timeline)))
    for case, path in zip(cases, output_paths(args.csv, names), strict=True):
        if path is not None:
            files.append((path, report_csv(case.report).encode()))
    for path, data in files:
        write_file(path, data)
    return [path for path, _ in files]


def json_text(cases: "Sequence[ReportCase]") -> str:
    """The one object of `--json`."""
    import json

    import msgspec

    rows = [
        {"name": case.name, "note": case.note, "report": case.report, "advice": case.advice}
        for case in cases
    ]
    return json.dumps(msgspec.to_builtins({"simulations": rows}))


def text(cases: "Sequence[ReportCase]", *, advised: bool) -> str:
    """The summaries of all cases, then their comparison where there are several."""
    from accelerator_sim.report_text import advice_text, comparison_text, report_text

    blocks: list[str] = []
    for case in cases:
        note = f"note: {case.note}\n" if case.note else ""
        blocks.append(note + report_text(case.report, case.problem.accelerator.approximate))
        if advised:
            blocks.append(advice_text(case.advice, case.report))
    if len(cases) > 1:
        blocks.append(comparison_text([case.report for case in cases], case_names(cases)))
    return "\n\n".join(blocks)


def case_names(cases: "Sequence[ReportCase]") -> list[str]:
    """The name of each case; with the placer where several cases have the same name."""
    names = [case.name for case in cases]
    return [
        case.name if names.count(case.name) == 1 else f"{case.name}.{case.report.placer}"
        for case in cases
    ]


def output_paths(path: Path | None, names: Sequence[str]) -> list[Path | None]:
    """Where the output of each case goes: `path`, or one file per name where several.

    Raises:
        InputError: a name cannot be part of a file name.
    """
    if path is None or len(names) == 1:
        return [path for _ in names]
    paths: list[Path | None] = []
    for position, name in enumerate(names):
        label = "".join(c if c.isascii() and (c.isalnum() or c in "-_.") else "_" for c in name)
        label = label[-MAX_LABEL:]
        if label in ("", ".", ".."):
            raise InputError(f"{path}: cannot name a file after case {position}: {name!r}")
        candidate = path.with_name(f"{path.stem}.{label}{path.suffix}")
        if candidate in paths:
            candidate = path.with_name(f"{path.stem}.{label}-{position}{path.suffix}")
        paths.append(candidate)
    return paths
