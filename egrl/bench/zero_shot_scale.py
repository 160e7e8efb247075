"""What a policy's placement costs on 50 to 20,000 ops, and what it saves `auto`."""

import time

import msgspec
import numpy as np

from accelerator_sim.engine import evaluate_batch
from accelerator_sim.problem import build_problem
from accelerator_sim.rectify import build_rectifier
from accelerator_sim.targets import load_target
from egrl.agents.egrl.checkpoint import Policy
from egrl.agents.egrl.zero_shot import zero_shot
from egrl.bench.random_graphs import random_workload
from egrl.placers.decoder import build_decoder

SIZES = (50, 200, 500, 1000, 2000, 5000, 10_000, 20_000)
REPEATS = 5
TARGET = "nnp-i"


class Scale(msgspec.Struct, frozen=True):
    """Median seconds of processor time of one placement by the policy, tables built."""

    ops: int
    tensors: int
    seconds: float


def measure_scale(policy: Policy) -> list[Scale]:
    """Place random graphs of growing size, several times each."""
    found = []
    for ops in SIZES:
        problem = build_problem(random_workload(ops, np.random.default_rng(0)), load_target(TARGET))
        times = []
        for _ in range(REPEATS):
            began = time.process_time()
            decoder = build_decoder(problem)
            rectifier = build_rectifier(problem, decoder.tables, decoder.values)
            shot = zero_shot(problem, decoder, rectifier, policy, np.random.default_rng(0))
            evaluate_batch(problem, shot.first())
            times.append(time.process_time() - began)
        found.append(Scale(ops, problem.tensor_count, float(np.median(times))))
        print(f"{ops} ops: {found[-1].seconds:.3f} s", flush=True)
    return found
