"""Problems so small that every placement can be tried."""

from itertools import product

import numpy as np
from hypothesis import assume
from hypothesis import strategies as st
from msgspec.structs import replace
from numpy.typing import NDArray

from accelerator_sim.accelerator import Accelerator
from accelerator_sim.engine import evaluate_batch
from accelerator_sim.problem import PlacementProblem, build_problem
from accelerator_sim.targets import load_target
from egrl.bench.random_graphs import random_workload
from graph_ir.errors import UnmetRequirementError
from tests.accelerator_sim.cases import random_pins, varied_workload
from tests.accelerator_sim.machines import accelerators, quantity, scaled, with_streaming

MOST_PLACEMENTS = 4000


def every_placement(problem: PlacementProblem) -> NDArray[np.int8]:
    homes = [np.flatnonzero(allowed).tolist() for allowed in problem.allowed_TH]
    return np.array(list(product(*homes)), np.int8).reshape(-1, problem.tensor_count)


def optimum(problem: PlacementProblem) -> float:
    """Least latency of all placements that fit by live bytes; infinity where none does."""
    result = evaluate_batch(problem, every_placement(problem))
    return float(result.latency_s_P[result.feasible_P].min(initial=np.inf))


def with_capacity(accelerator: Accelerator, tier: int, capacity_bytes: int) -> Accelerator:
    tiers = list(accelerator.tiers)
    tiers[tier] = replace(tiers[tier], capacity_bytes=quantity(capacity_bytes))
    return replace(accelerator, tiers=tiers)


@st.composite
def small_problems(draw: st.DrawFn) -> PlacementProblem:
    """Up to five ops, tight capacities, some tensors pinned so that few placements are left."""
    accelerator = draw(accelerators(capacities=(1 << 8, 1 << 14)))
    seed = draw(st.integers(0, 2**32 - 1))
    workload = varied_workload(
        seed, draw(st.integers(1, 5)), accelerator.default_type, wide=False,
        fan_in=draw(st.sampled_from((0, 0, 0, 0, 8))),
    )  # fmt: skip
    total = sum(t.size_bytes for t in workload.tensors)
    for tier in range(1, len(accelerator.tiers)):
        share = draw(st.floats(0.02, 1.2))
        accelerator = with_capacity(accelerator, tier, max(64, int(share * total)))
    ring = draw(st.sampled_from((0, 64, 4096)))
    slice_bytes = draw(st.sampled_from((16, 512)))
    accelerator = replace(
        accelerator,
        streaming=replace(
            accelerator.streaming, slice_bytes=slice_bytes, staging_bytes=2 * slice_bytes + ring
        ),
    )
    if draw(st.integers(0, 9)) == 0:
        accelerator = with_capacity(accelerator, 0, int(draw(st.floats(0.3, 1.1)) * total))
    rng = np.random.default_rng(seed)
    try:
        problem = build_problem(workload, accelerator)
        pins = random_pins(problem, rng, draw(st.sampled_from((0.0, 0.3, 0.6))))
        while True:
            problem = build_problem(workload, accelerator, pins)
            counts = problem.allowed_TH.sum(axis=1)
            if np.prod(counts.astype(float)) <= MOST_PLACEMENTS:
                return problem
            pins |= random_pins(problem, rng, 0.3)
    except UnmetRequirementError:
        assume(False)
        raise


@st.composite
def streaming_problems(draw: st.DrawFn) -> PlacementProblem:
    """Chains whose weights stream, with about as much to compute as to fetch and a small ring."""
    base = load_target(draw(st.sampled_from(("nnp-i", "ethos-u65-512"))))
    inner = len(base.tiers) - 1
    machine = replace(
        base,
        tiers=[base.tiers[0], base.tiers[inner]],
        cores=quantity(draw(st.sampled_from((1, 4)))),
        clock_hz=scaled(base.clock_hz, draw(st.floats(0.003, 1.0))),
        launch_overhead_s=quantity(draw(st.sampled_from((0.0, 2e-7)))),
        interconnect=replace(base.interconnect, multicast=draw(st.booleans())),
    )
    machine = with_streaming(
        machine, draw(st.integers(1, 4)), 64, 128 + draw(st.integers(0, 60_000))
    )
    seed = draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    workload = random_workload(draw(st.integers(3, 9)), rng, machine.default_type, wide=False)
    free = build_problem(workload, machine)
    pins = {}
    undecided = 6
    for t in rng.permutation(free.tensor_count).tolist():
        tensor = workload.tensors[t]
        if free.allowed_TH[t].sum() == 1:
            continue
        if tensor.kind == "weight" and undecided > 0 and rng.random() < 0.5:
            undecided -= 1
            continue
        pins[tensor.name] = free.home_name(0 if tensor.kind == "weight" else 1)
    weight_bytes = sum(t.size_bytes for t in workload.tensors if t.kind == "weight")
    other_bytes = sum(t.size_bytes for t in workload.tensors if t.kind != "weight")
    room = other_bytes + machine.streaming.staging_bytes + int(rng.random() * weight_bytes)
    return build_problem(
        workload, with_capacity(machine, 1, room + 64 * len(workload.tensors)), pins
    )
