"""`egrl sweep`: latency over a changing accelerator or a changing model."""

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from egrl.cli.errors import BUG, INTERRUPTED
from egrl.cli.files import check_writable, write_file
from egrl.cli.parser import Verbs
from egrl.cli.values import add_dims, extents, positive_number, whole_number
from graph_ir.errors import InputError

if TYPE_CHECKING:
    from egrl.sweep.result import Sweep

MAX_PROCESSES = 256

EPILOG = """\
KEY is a number of the target's file (SRAM.capacity_bytes, DRAM.read_bytes_per_s, clock_hz,
interconnect.bytes_per_s, ...), TIER.bandwidth for reads and writes together, dim:NAME for a
symbolic dimension of the model, or batch for the first axis of its inputs. Values carry units
(4MiB, 64GB/s, 180ns, 940MHz), or are multiples of the target's value (0.5x).
"""


def add(verbs: Verbs) -> None:
    """Add the verb."""
    parser = verbs.add_parser(
        "sweep",
        help="latency over capacities, bandwidths, clocks or dimensions",
        description="Places a model at every point of one or two axes and shows the latency "
        "over them. All points are checked before the first is simulated.",
        epilog=EPILOG,
    )
    parser.add_argument("model", metavar="MODEL.onnx")
    parser.add_argument(
        "--vary",
        action="append",
        required=True,
        metavar="KEY=V,V,...",
        help="an axis (once or twice)",
    )
    parser.add_argument(
        "--target", default="nnp-i", metavar="NAME|FILE.toml", help="default: nnp-i"
    )
    parser.add_argument("--precision", metavar="TYPE", help="execution type")
    parser.add_argument("--placer", default="auto", metavar="NAME", help="default: auto")
    parser.add_argument(
        "--budget", default="2s", metavar="2s|2000ev", help="of each point (default: 2s)"
    )
    parser.add_argument("--seed", type=whole_number, default=0, metavar="N", help="default: 0")
    add_dims(parser)
    parser.add_argument(
        "--processes", type=positive_number, metavar="N", help="default: one per processor"
    )
    parser.add_argument(
        "-o", "--out", type=Path, metavar="DIR|F.csv", help="sweep.csv, .json and .html, or one CSV"
    )
    parser.add_argument("--html", type=Path, metavar="F", help="a page with the plot")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of text")
    parser.set_defaults(command=command)


def command(args: argparse.Namespace) -> int:
    """Sweep."""
    dims = extents(args.dim)
    _check_outputs(args.out, args.html)
    processes = args.processes or len(os.sched_getaffinity(0))
    if processes > MAX_PROCESSES:
        raise InputError(f"--processes: expected at most {MAX_PROCESSES}, got {processes}")

    from egrl.cli.progress import shown_progress
    from egrl.sweep.result import sweep_json
    from egrl.sweep.run import SweepBrokenError, SweepInterrupted, run_sweep
    from egrl.sweep.text import sweep_text

    code = 0
    try:
        with shown_progress("sweep", "") as progress:
            sweep = run_sweep(
                args.model,
                args.vary,
                target=args.target,
                precision=args.precision,
                dims=dims,
                placer=args.placer,
                budget=args.budget,
                seed=args.seed,
                processes=processes,
                progress=progress,
            )
    except (SweepInterrupted, SweepBrokenError) as stop:
        broken = isinstance(stop, SweepBrokenError)
        sweep, code = stop.sweep, BUG if broken else INTERRUPTED
        done = f"{len(sweep.points)} of {sweep.point_count} points were finished"
        print(f"egrl: {f'error: {stop}' if broken else 'interrupted'}: {done}", file=sys.stderr)
        if not sweep.points:
            return code
    written = _write(args.out, args.html, sweep)
    if args.json:
        print(sweep_json(sweep))
        return code
    print(sweep_text(sweep))
    for path in written:
        print(f"wrote {path}")
    return code


def _check_outputs(out: Path | None, html: Path | None) -> None:
    check_writable(html)
    if out is None:
        return
    if out.suffix == ".csv":
        check_writable(out)
        if html is not None and html.absolute() == out.absolute():
            raise InputError(f"{out}: expected a file of its own for each output, got it twice")
    elif out.exists() and not out.is_dir():
        raise InputError(f"{out}: expected a folder, or a file that ends with .csv")
    else:
        check_writable(out / "sweep.csv" if out.is_dir() else out)


def _write(out: Path | None, html: Path | None, sweep: "Sweep") -> list[Path]:
    from egrl.sweep.page import sweep_html
    from egrl.sweep.result import sweep_csv, sweep_json

    files: list[tuple[Path, str]] = []
    if out is not None and out.suffix == ".csv":
        files.append((out, sweep_csv(sweep)))
    elif out is not None:
        out.mkdir(exist_ok=True)
        files += [
            (out / "sweep.csv", sweep_csv(sweep)),
            (out / "sweep.json", sweep_json(sweep) + "\n"),
            (out / "sweep.html", sweep_html(sweep)),
        ]
    if html is not None:
        files.append((html, sweep_html(sweep)))
    for path, text in files:
        write_file(path, text.encode())
    return [path for path, _ in files]
