"""`egrl bench engine`: placements a second, moves a second, memory, and the first call.

CPU time of the process where one core is measured, so that a loaded machine does not count against
it; medians of several runs, in turn, on populations of different random placements.
"""

import json
import statistics
import subprocess
import sys
import time

import numpy as np

from accelerator_sim.engine import evaluate_batch
from accelerator_sim.problem import PlacementProblem
from egrl.bench.engine_case import TARGET, cpu_seconds, full_and_move_s, random_homes
from egrl.bench.first_call import first_call_s
from egrl.bench.machine import machine_line
from egrl.bench.model_index import read_index
from egrl.bench.options import BenchOptions
from egrl.compilation import prepare

SIZES = (50, 150, 500, 1500, 5000, 15000, 50000)
RUNS = 7
MODEL = "bert-base"
POPULATION = 4000
THREADS = 2


def run(options: BenchOptions) -> None:
    """Measure and write the document.

    Raises:
        InputError: BERT-base is not built.
    """
    entry = read_index(options.folder, [MODEL])[MODEL]
    targets = options.targets or ["nnp-i", "nnp-i-partitioned", "ethos-u65-512"]
    problems = {
        target: prepare(options.folder / entry.file, target, None, entry.dims).problem
        for target in targets
    }
    lines = [
        "# Engine: placements a second",
        "",
        "Written by `egrl bench engine`. Check of live bytes included. One core is CPU time; two "
        f"threads and the first call are wall time, on whatever else the machine did. Medians of "
        f"{RUNS} runs in turn over different random placements.",
        "",
        f"Machine: {machine_line()}.",
        "",
        *_model_lines(problems),
        *_size_lines(),
        *_first_call_lines(problems[targets[0]], targets[0]),
    ]
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text("\n".join(lines) + "\n", "utf-8")


def _model_lines(problems: dict[str, PlacementProblem]) -> list[str]:
    lines = [
        f"## {MODEL}",
        "",
        "| target | ops | tensors | placements/s, one core | least | most "
        f"| wall time of {THREADS} threads over that of one | moves/s | moves over placements |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    rates: dict[str, list[float]] = {target: [] for target in problems}
    shares: dict[str, list[float]] = {target: [] for target in problems}
    for seed in range(RUNS + 1):
        for target, problem in problems.items():
            homes_PT = random_homes(problem, POPULATION, np.random.default_rng(seed))
            seconds = cpu_seconds(lambda: evaluate_batch(problem, homes_PT))  # noqa: B023
            rates[target].append(POPULATION / seconds)
            wall_s = []
            for threads in (1, THREADS):
                began = time.perf_counter()
                evaluate_batch(problem, homes_PT, threads)
                wall_s.append(time.perf_counter() - began)
            shares[target].append(wall_s[1] / wall_s[0])
    for target, problem in problems.items():
        found = rates[target][1:]  # The first compiles or loads the compiled code.
        full_s, move_s = full_and_move_s(problem)
        lines.append(
            f"| {target} | {problem.op_count} | {problem.tensor_count} "
            f"| {statistics.median(found):,.0f} | {min(found):,.0f} | {max(found):,.0f} "
            f"| {statistics.median(shares[target][1:]):.2f} "
            f"| {1 / move_s:,.0f} | {full_s / move_s:.1f} |"
        )
    return [*lines, ""]


def _size_lines() -> list[str]:
    lines = [
        f"## Random graphs on {TARGET}",
        "",
        "Each in a process of its own. A move proposes a random home for a random tensor, times it "
        "and is kept or taken back, in turn (`accelerator_sim.incremental`).",
        "",
        "| ops | tensors | problem built in s | MiB for that | MiB in all, with searching "
        "| placements/s | ns per op | moves/s | moves over placements |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    full_s: list[float] = []
    for size in SIZES:
        command = [sys.executable, "-m", "egrl.bench.engine_case", str(size)]
        case = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
        full_s.append(case["full_s"])
        lines.append(
            f"| {size:,} | {case['tensors']:,} | {case['build_s']:.2f} "
            f"| {case['build_bytes'] / 2**20:,.0f} | {case['peak_bytes'] / 2**20:,.0f} "
            f"| {1 / case['full_s']:,.1f} | {1e9 * case['full_s'] / size:.0f} "
            f"| {1 / case['move_s']:,.0f} | {case['full_s'] / case['move_s']:,.1f} |"
        )
    slope = np.polyfit(np.log(SIZES), np.log(full_s), 1)[0]
    return [
        *lines,
        "",
        f"Cost of a placement grows as ops to the power {slope:.2f} (least squares over the "
        "logarithms); what is above 1 is the price tables leaving the caches.",
        "",
    ]


def _first_call_lines(problem: PlacementProblem, target: str) -> list[str]:
    lines = [
        "## First call",
        "",
        f"A new process that imports the engine, prices {MODEL} on {target} and evaluates one "
        "placement; reading the model not included.",
        "",
        "| compiled code | wall s | CPU s |",
        "|---|---|---|",
    ]
    for name, cold, runs in (("kept from an earlier run", False, 5), ("none", True, 1)):
        found = [first_call_s(problem.workload, target, cold) for _ in range(runs)]
        wall_s, cpu_s = (statistics.median(column) for column in zip(*found, strict=True))
        lines.append(f"| {name} | {wall_s:.2f} | {cpu_s:.2f} |")
    return lines
