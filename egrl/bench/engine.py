"""`egrl bench engine`: placements a second, and cost against the number of ops.

One thread; CPU time of the process, so that a loaded machine does not count against it; the median
of several runs on populations of different random placements.
"""

import statistics
import time

import numpy as np
from numpy.typing import NDArray

from accelerator_sim.engine import evaluate_batch
from accelerator_sim.problem import PlacementProblem, build_problem
from accelerator_sim.targets import load_target
from egrl.bench.machine import machine_line
from egrl.bench.model_index import read_index
from egrl.bench.options import BenchOptions
from egrl.bench.random_graphs import random_workload
from egrl.compilation import prepare

SIZES = (50, 150, 500, 1500, 5000, 15000, 50000)
RUNS = 7
MODEL = "bert-base"


def run(options: BenchOptions) -> None:
    """Measure and write the document.

    Raises:
        InputError: BERT-base is not built.
    """
    entry = read_index(options.folder, [MODEL])[MODEL]
    targets = options.targets or ["nnp-i", "nnp-i-partitioned", "ethos-u65-512"]
    lines = [
        "# Engine: placements a second",
        "",
        "Written by `egrl bench engine`. Check of live bytes included; one core; CPU time; median "
        f"(least to most) of {RUNS} runs over different random placements.",
        "",
        f"Machine: {machine_line()}.",
        "",
        f"## {MODEL}",
        "",
        "| target | ops | tensors | placements/s | least | most |",
        "|---|---|---|---|---|---|",
    ]
    for target in targets:
        problem = prepare(options.folder / entry.file, target, None, entry.dims).problem
        rates = _rates(problem, 4000)
        lines.append(
            f"| {target} | {problem.op_count} | {problem.tensor_count} "
            f"| {statistics.median(rates):,.0f} | {min(rates):,.0f} | {max(rates):,.0f} |"
        )
    lines += ["", "## Random graphs on nnp-i", ""]
    lines += ["| ops | placements/s | ns per op |", "|---|---|---|"]
    per_op: list[float] = []
    for size in SIZES:
        workload = random_workload(size, np.random.default_rng(0))
        problem = build_problem(workload, load_target("nnp-i"))
        rate = statistics.median(_rates(problem, max(4, 400_000 // size)))
        per_op.append(1e9 / rate / size)
        lines.append(f"| {size} | {rate:,.1f} | {per_op[-1]:.0f} |")
    slope = np.polyfit(np.log(SIZES), np.log(np.array(per_op) * np.array(SIZES)), 1)[0]
    lines += [
        "",
        f"Cost grows as ops to the power {slope:.2f} (least squares over the logarithms); what is "
        "above 1 is the price tables leaving the caches.",
    ]
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text("\n".join(lines) + "\n", "utf-8")


def _rates(problem: PlacementProblem, population: int) -> list[float]:
    rates = []
    for seed in range(RUNS + 1):
        homes_PT = _random_homes(problem, population, np.random.default_rng(seed))
        began = time.process_time()
        evaluate_batch(problem, homes_PT)
        rates.append(population / (time.process_time() - began))
    return rates[1:]  # The first compiles or loads the compiled code.


def _random_homes(
    problem: PlacementProblem, population: int, rng: np.random.Generator
) -> NDArray[np.int8]:
    keys = rng.random((population, *problem.allowed_TH.shape), dtype=np.float32)
    keys[:, ~problem.allowed_TH] = -1.0
    homes_PT: NDArray[np.int8] = keys.argmax(axis=2).astype(np.int8)
    return homes_PT
