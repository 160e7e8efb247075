"""`egrl bench allocate`: MiniMalloc's challenging instances, and tiers as placement makes them.

Nodes are the same on every machine; times are CPU times of one thread, after compilation.
"""

import time
from pathlib import Path

import numpy as np

from accelerator_sim.allocate import Allocation, Buffer, allocate
from accelerator_sim.allocate.csv_format import CSV_NODE_BUDGET, read_problem
from accelerator_sim.allocate.lowest import lowest_found
from egrl.bench.machine import machine_line
from egrl.bench.options import BenchOptions
from graph_ir.errors import InputError

INSTANCES = Path(__file__).parents[2] / "tests" / "data" / "minimalloc"
CAPACITY_BYTES = 1 << 20
SHORT_BUDGET = 60_000
# Weights that live the whole time, activations that do not, and ops.
TIERS = ((100, 50, 60), (300, 100, 150), (400, 400, 400), (2000, 1000, 1000), (20000, 30000, 20000))
RUNS = 5


def run(options: BenchOptions) -> None:
    """Measure and write the document.

    Raises:
        InputError: the instances are not there (they are in the repository, not in the package).
    """
    paths = sorted(INSTANCES.glob("*.csv"))
    if not paths:
        raise InputError(f"{INSTANCES}: expected MiniMalloc's instances, got none")
    allocate(_tier(4, 4, 8), 1 << 40)
    allocate(read_problem(paths[0]), CAPACITY_BYTES, 5000)
    lines = [
        "# Allocator",
        "",
        "Written by `egrl bench allocate`. Nodes are the same on every machine; times are CPU "
        "times of one thread, compilation not counted.",
        "",
        f"Machine: {machine_line()}.",
        "",
        "## MiniMalloc's challenging instances, 1 MiB",
        "",
        "Heights are over the capacity: the best greedy order, the lowest packing found within "
        f"{SHORT_BUDGET:,} nodes by halving the capacity in question, and the search at the "
        f"capacity itself (at most {CSV_NODE_BUDGET:,} nodes).",
        "",
        "| instance | buffers | greedy | short | search | nodes | s |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [_instance_row(path) for path in paths]
    lines += [
        "",
        "## Tiers as placement makes them",
        "",
        "Random sizes, alignment 64, capacity just above what is live at once. Least of "
        f"{RUNS} runs; making the `Buffer` objects is not counted, reading them is.",
        "",
        "| weights | activations | ops | height / bound | nodes | ms |",
        "|---|---|---|---|---|---|",
    ]
    lines += [_tier_row(*tier) for tier in TIERS]
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _instance_row(path: Path) -> str:
    buffers = read_problem(path)
    greedy = allocate(buffers, CAPACITY_BYTES, 0)
    short = lowest_found(buffers, greedy, CAPACITY_BYTES, SHORT_BUDGET)
    begin = time.process_time()
    found = allocate(buffers, CAPACITY_BYTES, CSV_NODE_BUDGET)
    seconds = time.process_time() - begin
    return (
        f"| {path.name.partition('.')[0]} | {len(buffers)} | {_height(greedy)} | {_height(short)} "
        f"| {'solved' if found.feasible else 'not solved'} | {found.nodes:,} | {seconds:.2f} |"
    )


def _height(allocation: Allocation) -> str:
    return f"{allocation.height_bytes / CAPACITY_BYTES:.3f}"


def _tier_row(weights: int, activations: int, ops: int) -> str:
    buffers = _tier(weights, activations, ops)
    bound = allocate(buffers, 1 << 40, 0).lower_bound_bytes
    capacity = -(-bound // 64) * 64
    least = float("inf")
    for _ in range(RUNS):
        begin = time.process_time()
        found = allocate(buffers, capacity)
        least = min(least, time.process_time() - begin)
    return (
        f"| {weights} | {activations} | {ops} | {found.height_bytes / bound:.5f} "
        f"| {found.nodes:,} | {1e3 * least:.2f} |"
    )


def _tier(weights: int, activations: int, ops: int) -> list[Buffer]:
    rng = np.random.default_rng(0)
    sizes = rng.integers(1_000, 60_000, weights + activations).tolist()
    starts = np.sort(rng.integers(0, ops - 2, activations)).tolist()
    lengths = rng.integers(2, 8, activations).tolist()
    buffers = [Buffer(f"w{i}", 0, ops, size, 64) for i, size in enumerate(sizes[:weights])]
    buffers += [
        Buffer(f"a{i}", start, min(ops, start + length), size, 64)
        for i, (start, length, size) in enumerate(
            zip(starts, lengths, sizes[weights:], strict=True)
        )
    ]
    return buffers
