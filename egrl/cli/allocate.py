"""`egrl allocate`: offsets for the buffers of a MiniMalloc CSV."""

import argparse
from pathlib import Path

from egrl.cli.files import check_writable
from egrl.cli.parser import Verbs
from egrl.cli.values import whole_number


def add(verbs: Verbs) -> None:
    """Add the verb."""
    parser = verbs.add_parser(
        "allocate",
        help="offsets for buffers with lifetimes",
        description="Packs the buffers of a CSV in MiniMalloc's format (id,lower,upper,size) into "
        "one memory and writes the rows again with an offset.",
    )
    parser.add_argument("problem", type=Path, metavar="PROBLEM.csv")
    parser.add_argument("--capacity", type=whole_number, required=True, metavar="BYTES")
    parser.add_argument("-o", "--out", type=Path, required=True, metavar="SOLUTION.csv")
    parser.set_defaults(command=command)


def command(args: argparse.Namespace) -> int:
    """Allocate."""
    check_writable(args.out)

    from accelerator_sim.allocate.csv_format import allocate_csv
    from accelerator_sim.units import bytes_text

    allocation = allocate_csv(args.problem, args.capacity, args.out)
    height, bound = allocation.height_bytes, allocation.lower_bound_bytes
    print(
        f"{len(allocation.offsets)} buffers in {height} bytes ({bytes_text(height)}); "
        f"no allocation takes less than {bound}"
    )
    print(f"wrote {args.out}")
    return 0
