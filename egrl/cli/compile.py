"""`egrl compile`: an ONNX model in, an artifact out."""

import argparse
from pathlib import Path

from egrl.cli.evaluator import add_evaluator, evaluator_command
from egrl.cli.files import check_writable
from egrl.cli.parser import Verbs
from egrl.cli.values import add_dims, extents, positive_number, positive_ratio, whole_number


def add(verbs: Verbs) -> None:
    """Add the verb."""
    parser = verbs.add_parser(
        "compile",
        help="place a model on an accelerator and write an artifact",
        description="Compiles an ONNX model: fuses and lowers it, places every tensor, gives "
        "addresses, writes an artifact, and prints its report.",
    )
    parser.add_argument("model", metavar="MODEL.onnx")
    parser.add_argument("--target", required=True, metavar="NAME|FILE.toml", help="accelerator")
    parser.add_argument(
        "--precision", metavar="TYPE", help="execution type, e.g. fp16 (default: the target's)"
    )
    parser.add_argument(
        "--compress",
        action="append",
        default=[],
        metavar="FAMILY:METHOD,OPTIONS",
        help="e.g. int4:rtn,group=64, or auto:rtn with a bound; may be repeated, applied in order; "
        "see egrl passes",
    )
    parser.add_argument(
        "--calibration",
        type=Path,
        metavar="IN.npz|FOLDER",
        help="inputs that compression may look at (default: drawn with the seed)",
    )
    parser.add_argument(
        "--max-error",
        type=positive_ratio,
        metavar="E",
        help="largest relative error of the compressed model's outputs; beyond it exit 3",
    )
    parser.add_argument(
        "--max-bytes",
        type=positive_number,
        metavar="B",
        help="most bytes of all weights, with --compress auto; beyond it exit 3",
    )
    parser.add_argument("--placer", default="auto", metavar="NAME", help="default: auto")
    parser.add_argument(
        "--placer-config",
        type=Path,
        metavar="F.toml",
        help="hyper-parameters of the placer, e.g. configs/egrl-paper.toml",
    )
    parser.add_argument(
        "--budget",
        metavar="30s|4000ev",
        help="of the search (default: 30s, with --evaluator 400ev)",
    )
    parser.add_argument("--seed", type=whole_number, default=0, metavar="N", help="default: 0")
    add_dims(parser)
    parser.add_argument(
        "--constraints", type=Path, metavar="F.toml", help='[pins] with lines tensor = "HOME"'
    )
    add_evaluator(parser)
    parser.add_argument(
        "--write-problem", type=Path, metavar="F.json", help="also write the problem for audit"
    )
    parser.add_argument(
        "-o", "--out", type=Path, required=True, metavar="OUT.egrl", help="artifact to write"
    )
    parser.set_defaults(command=command)


def command(args: argparse.Namespace) -> int:
    """Compile."""
    dims = extents(args.dim)
    check_writable(args.write_problem)

    from accelerator_sim.report_text import report_text
    from egrl import api
    from egrl.budget import default_budget
    from egrl.cli.progress import shown_progress
    from egrl.evaluators.measured import measured_text

    evaluator = evaluator_command(args)
    budget = args.budget or default_budget(evaluator is not None)
    with shown_progress("compile", budget) as progress:
        outcome = api.compile(
            args.model,
            out=args.out,
            target=args.target,
            precision=args.precision,
            dims=dims,
            compress=args.compress,
            calibration=args.calibration,
            max_error=args.max_error,
            max_bytes=args.max_bytes,
            placer=args.placer,
            budget=budget,
            seed=args.seed,
            constraints=args.constraints,
            evaluator=evaluator,
            placer_config=args.placer_config,
            write_problem=args.write_problem,
            progress=progress,
        )
    for report in outcome.reports.values():
        print(report_text(report))
        print()
    for measured in outcome.measured.values():
        print(measured_text(measured))
        print()
    print(f"wrote {outcome.path}")
    return 0
