"""`egrl compile`: an ONNX model in, an artifact out."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from egrl.cli.evaluator import add_evaluator, evaluator_command
from egrl.cli.files import check_writable
from egrl.cli.parser import Verbs
from egrl.cli.values import add_dims, extents, positive_number, positive_ratio, whole_number
from graph_ir.errors import InputError

if TYPE_CHECKING:
    from runtime.compression import CompressionRecord


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
        "--decode",
        action="store_true",
        help="the model generates text: compile a graph for its prompt and one for a token",
    )
    parser.add_argument(
        "--context", type=positive_number, metavar="N", help="positions of a text, with --decode"
    )
    parser.add_argument(
        "--chunk",
        type=positive_number,
        metavar="N",
        help="tokens of the prompt that are read at once (default: 128, or what is kept)",
    )
    parser.add_argument(
        "--tokenizer",
        type=Path,
        metavar="F.json",
        help="tokenizer.json that goes into the artifact",
    )
    parser.add_argument(
        "--eos",
        action="append",
        default=[],
        metavar="TOKEN",
        help="token that ends a text, or its number (default: the tokenizer's; may be repeated)",
    )
    parser.add_argument(
        "--kv-form",
        choices=("onnxruntime", "standard"),
        help="operators of the attention: the fastest, or such as any runtime has "
        "(default: onnxruntime)",
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
    if args.decode:
        return _decode(args)
    for flag, given in _decode_flags(args).items():
        if given:
            raise InputError(f"{flag}: expected --decode beside it")
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
    _print_compressed(outcome.compressed)
    print(f"wrote {outcome.path}")
    return 0


def _print_compressed(records: Sequence["CompressionRecord"]) -> None:
    """What became of the weights; that nothing did is said where nobody overlooks it."""
    from accelerator_sim.units import plain
    from runtime.compression import summary

    for record in records:
        print(f"compressed: {plain(summary(record))}")
        if not record.layers:
            print(
                f"egrl: warning: --compress {plain(record.method)}: found no weight to compress",
                file=sys.stderr,
            )


def _decode_flags(args: argparse.Namespace) -> dict[str, bool]:
    return {
        "--context": args.context is not None,
        "--chunk": args.chunk is not None,
        "--tokenizer": args.tokenizer is not None,
        "--eos": bool(args.eos),
        "--kv-form": args.kv_form is not None,
    }


def _decode(args: argparse.Namespace) -> int:
    """Compile a decoder."""
    refused = {
        "--dim": bool(args.dim),
        "--evaluator": args.evaluator is not None,
        "--placer-config": args.placer_config is not None,
        "--write-problem": args.write_problem is not None,
        "--max-bytes": args.max_bytes is not None,
    }
    for flag, given in refused.items():
        if given:
            raise InputError(f"{flag}: not with --decode")
    if args.context is None:
        raise InputError("--decode: expected --context N, the positions of a text")

    from accelerator_sim.report_text import report_text
    from egrl import api
    from egrl.budget import default_budget
    from egrl.cli.progress import shown_progress
    from runtime.generation.record import decoder_text

    budget = args.budget or default_budget(measured=False)
    with shown_progress("compile", budget) as progress:
        outcome = api.compile_decoder(
            args.model,
            out=args.out,
            context=args.context,
            target=args.target,
            chunk=args.chunk,
            tokenizer=args.tokenizer,
            eos=args.eos,
            kv_form=args.kv_form or "onnxruntime",
            precision=args.precision,
            compress=args.compress,
            calibration=args.calibration,
            max_error=args.max_error,
            placer=args.placer,
            budget=budget,
            seed=args.seed,
            constraints=args.constraints,
            progress=progress,
        )
    for report in outcome.reports.values():
        print(report_text(report))
        print()
    _print_compressed(outcome.compressed)
    if outcome.decoder is not None:
        print(f"caches: {decoder_text(outcome.decoder)}")
    print(f"wrote {outcome.path}")
    return 0
