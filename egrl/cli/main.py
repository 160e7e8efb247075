"""Entry point of the command line."""

import io
import sys
from collections.abc import Sequence

import egrl
from egrl.cli import (
    allocate,
    audit,
    bench,
    calibrate,
    compile,
    generate,
    inspect,
    passes,
    placers,
    simulate,
    sweep,
    targets,
    train,
    verify,
)
from egrl.cli import run as run_verb
from egrl.cli.errors import guarded
from egrl.cli.parser import Parser

# Every verb, in the order of the help. Each adds its own parser.
VERBS = (
    compile.add,
    simulate.add,
    train.add,
    sweep.add,
    run_verb.add,
    generate.add,
    inspect.add,
    verify.add,
    audit.add,
    allocate.add,
    targets.add,
    calibrate.add,
    passes.add,
    placers.add,
    bench.add,
)

EPILOG = """\
exit codes:
  0  done
  1  a bug of egrl's (EGRL_TRACEBACK=1 shows where)
  2  the input is wrong
  3  a requested bound cannot be met (capacity, pin)
  130  interrupted
"""


def make_parser() -> Parser:
    """The parser of the whole command line."""
    parser = Parser(
        prog="egrl",
        description="Places every tensor of an ONNX model in the memories of an accelerator.",
        epilog=EPILOG,
        keep_lines=True,
    )
    parser.add_argument("--version", action="version", version=f"egrl {egrl.__version__}")
    verbs = parser.add_subparsers(title="verbs", metavar="VERB", required=True)
    for add in VERBS:
        add(verbs)
    return parser


def main(arguments: Sequence[str]) -> int:
    """Parse and execute; returns the exit code."""

    def execute() -> int:
        args = make_parser().parse_args(arguments)
        code: int = args.command(args)
        return code

    return guarded(execute)


def run() -> None:
    """Console script."""
    for stream in (sys.stdout, sys.stderr):
        # Names from files and paths may hold what the terminal's encoding cannot say.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    sys.exit(main(sys.argv[1:]))
