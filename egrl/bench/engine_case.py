"""`python -m egrl.bench.engine_case OPS`: one random graph in a process of its own, as JSON."""

import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from accelerator_sim.engine import evaluate_batch
from accelerator_sim.incremental.moves import build_state
from accelerator_sim.incremental.state import build_tables
from accelerator_sim.problem import PlacementProblem, build_problem
from accelerator_sim.targets import load_target
from egrl.bench.moves import draw_moves, try_moves
from egrl.bench.random_graphs import random_workload

RUNS = 5
FULL_OPS = 300_000
"""Ops that one run of the full evaluation walks, at least four placements."""
MOVES = 2_000
TARGET = "nnp-i"


def random_homes(
    problem: PlacementProblem, population: int, rng: np.random.Generator
) -> NDArray[np.int8]:
    """Any allowed home for every tensor."""
    keys = rng.random((population, *problem.allowed_TH.shape), dtype=np.float32)
    keys[:, ~problem.allowed_TH] = -1.0
    homes_PT: NDArray[np.int8] = keys.argmax(axis=2).astype(np.int8)
    return homes_PT


def cpu_seconds(work: Callable[[], object]) -> float:
    """CPU time of the process, so that a loaded machine does not count against it."""
    began = time.process_time()
    work()
    return time.process_time() - began


def full_and_move_s(problem: PlacementProblem) -> tuple[float, float]:
    """CPU seconds of a full evaluation and of a move of one tensor, medians of runs in turn."""
    rng = np.random.default_rng(0)
    population = max(4, FULL_OPS // problem.op_count)
    tables = build_tables(problem)
    full_s, move_s = [], []
    for _ in range(RUNS + 1):
        homes_PT = random_homes(problem, population, rng)
        state = build_state(tables, homes_PT[0])
        moves = draw_moves(problem, MOVES, rng)
        full_s.append(cpu_seconds(lambda: evaluate_batch(problem, homes_PT)) / population)  # noqa: B023
        move_s.append(cpu_seconds(lambda: try_moves(tables, state, moves)) / MOVES)  # noqa: B023
    # The first runs compile, or load the compiled code.
    return statistics.median(full_s[1:]), statistics.median(move_s[1:])


def main() -> None:
    """Measure and print."""
    workload = random_workload(int(sys.argv[1]), np.random.default_rng(0))
    before_bytes = _peak_bytes()
    began = time.process_time()
    problem = build_problem(workload, load_target(TARGET))
    build_s = time.process_time() - began
    build_bytes = _peak_bytes() - before_bytes
    full_s, move_s = full_and_move_s(problem)
    print(
        json.dumps(
            {
                "tensors": problem.tensor_count,
                "build_s": build_s,
                "build_bytes": build_bytes,
                "peak_bytes": _peak_bytes(),
                "full_s": full_s,
                "move_s": move_s,
            }
        )
    )


def _peak_bytes() -> int:
    """Of this program alone: `ru_maxrss` would begin with that of the process that started it."""
    lines = Path("/proc/self/status").read_text("ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))


if __name__ == "__main__":
    main()
