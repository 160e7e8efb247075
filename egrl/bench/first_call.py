"""Seconds from the start of a process to its first evaluation: `python -m egrl.bench.first_call`.

The workload is JSON in the file that the first argument names, written by `egrl bench engine` in
the same run; reading and lowering a model take as long as the model is large.
"""

import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import msgspec
import numpy as np

from accelerator_sim.engine import evaluate
from accelerator_sim.problem import build_problem
from accelerator_sim.targets import load_target
from graph_ir.workload import Workload


def first_call_s(workload: Workload, target: str, cold: bool) -> tuple[float, float]:
    """Wall and CPU seconds of a new process that imports, prices and evaluates once.

    Args:
        workload: to evaluate, all in the outermost memory.
        target: a shipped target.
        cold: with no compiled code kept from earlier runs.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "workload"
        file.write_bytes(msgspec.json.encode(workload))
        environment = dict(os.environ)
        if cold:
            environment["NUMBA_CACHE_DIR"] = folder
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        began = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "egrl.bench.first_call", str(file), target],
            env=environment,
            check=True,
        )
        wall_s = time.perf_counter() - began
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return wall_s, cpu_s


def main() -> None:
    """Evaluate once."""
    workload = msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=Workload)
    problem = build_problem(workload, load_target(sys.argv[2]))
    evaluate(problem, np.zeros(problem.tensor_count, np.int8))


if __name__ == "__main__":
    main()
