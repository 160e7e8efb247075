"""`egrl calibrate`: an accelerator file for the machine that it runs on."""

import argparse
from pathlib import Path

from egrl.cli.files import check_writable, write_file
from egrl.cli.parser import Verbs
from egrl.cli.values import positive_number
from graph_ir.errors import InputError

MOST_THREADS = 1024


def add(verbs: Verbs) -> None:
    """Add the verb."""
    parser = verbs.add_parser(
        "calibrate",
        help="measure this machine and write its accelerator file",
        description="Micro-benchmarks through onnxruntime fit the rates by op family and data "
        "type; caches and memory are measured beside them. Takes about a minute and a half.",
    )
    parser.add_argument(
        "-o", "--out", type=Path, required=True, metavar="F.toml", help="accelerator file to write"
    )
    parser.add_argument(
        "--threads",
        type=positive_number,
        default=1,
        metavar="N",
        help="that onnxruntime computes with (default: 1)",
    )
    parser.add_argument(
        "--seconds",
        type=positive_number,
        default=50,
        metavar="N",
        help="of micro-benchmarks, about (default: 50)",
    )
    parser.set_defaults(command=command)


def command(args: argparse.Namespace) -> int:
    """Measure, then write the file in one step."""
    out: Path = args.out
    if out.suffix != ".toml":
        raise InputError(f"-o {out}: expected a name that ends in .toml")
    check_writable(out)
    if args.threads > MOST_THREADS:
        raise InputError(f"--threads {args.threads}: expected at most {MOST_THREADS}")

    from accelerator_sim.targets import parse_target
    from egrl.calibration.measure import calibrate
    from egrl.calibration.toml_text import accelerator_toml

    found = calibrate(args.threads, lambda line: print(line, flush=True), float(args.seconds))
    text = accelerator_toml(found.accelerator)
    parse_target(text, str(out))
    write_file(out, text.encode())
    print(f"wrote {out}")
    return 0
