"""Random workloads with everything that an operand can be, and placements of them."""

from dataclasses import replace

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from accelerator_sim.accelerator import Accelerator
from accelerator_sim.problem import PlacementProblem, build_problem
from egrl.bench.random_graphs import random_workload
from graph_ir.workload import Op, Operand, Role, Split, Tensor, TensorKind, Workload
from tests.accelerator_sim.machines import accelerators


def varied_workload(
    seed: int, op_count: int, data_type: str, *, wide: bool = True, fan_in: int = 0
) -> Workload:
    """A random workload some of whose weights are states, gathered or read twice by one op.

    Args:
        seed: of all choices.
        op_count: ops.
        data_type: execution type.
        wide: see `random_workload`.
        fan_in: biases of their own that the last op reads besides.
    """
    rng = np.random.default_rng(seed)
    plain = random_workload(op_count, rng, data_type, wide)
    tensors = list(plain.tensors)
    for t, tensor in enumerate(tensors):
        if tensor.kind is TensorKind.WEIGHT and rng.random() < 0.2:
            tensors[t] = replace(tensor, kind=TensorKind.STATE)
    ops = [_varied(op, tensors, rng) for op in plain.ops]
    for extra in range(fan_in):
        tensors.append(Tensor(f"bias{extra}", TensorKind.WEIGHT, (64,), data_type, 64, 0, op_count))
        bias = Operand(len(tensors) - 1, Role.OTHER, 64, (Split.COLUMNS,))
        last = ops[-1]
        ops[-1] = replace(last, operands=(bias, *last.operands))
    # A view: it has no memory of its own.
    owner = int(rng.integers(len(tensors)))
    first = tensors[owner]
    tensors.append(replace(first, name="view", alias_of=owner, alias_offset_bytes=0))
    return Workload(plain.name, plain.execution_type, tuple(ops), tuple(tensors))


def _varied(op: Op, tensors: list[Tensor], rng: np.random.Generator) -> Op:
    operands = []
    for operand in op.operands:
        changed = operand
        if operand.role is Role.LEFT and rng.random() < 0.4:
            changed = replace(changed, halo_bytes=int(rng.integers(1, 4096)))
        if tensors[operand.tensor].kind is TensorKind.WEIGHT:
            if rng.random() < 0.1:
                part = max(1, operand.traffic_bytes // 7)
                changed = replace(changed, traffic_bytes=part)
            if rng.random() < 0.2:
                changed = replace(changed, split_by=(Split.ROWS, Split.COLUMNS))
        operands.append(changed)
        if operand.role is Role.LEFT and rng.random() < 0.15:
            operands.append(replace(changed, role=Role.OTHER))
    work = op.mac_work
    if work and rng.random() < 0.3:
        batch = int(rng.integers(2, 20))
        work = (replace(work[0], batch=batch, columns=max(1, work[0].columns // batch)),)
    if work and rng.random() < 0.15:
        work = (replace(work[0], depthwise=True, inner=9),)
    return replace(op, operands=tuple(operands), mac_work=work)


def random_homes(
    problem: PlacementProblem, rng: np.random.Generator, count: int
) -> NDArray[np.int8]:
    """Allowed homes at random, `count` placements; some keep most tensors in one home."""
    homes_PT = np.zeros((count, problem.tensor_count), np.int8)
    for p in range(count):
        favourite = int(rng.integers(len(problem.homes)))
        loyalty = float(rng.choice((0.0, 0.5, 0.9)))
        for t in range(problem.tensor_count):
            allowed = np.flatnonzero(problem.allowed_TH[t])
            keep = problem.allowed_TH[t, favourite] and rng.random() < loyalty
            homes_PT[p, t] = favourite if keep else rng.choice(allowed)
    return homes_PT


def random_pins(
    problem: PlacementProblem, rng: np.random.Generator, share: float
) -> dict[str, str]:
    """Some tensors pinned to one of their homes."""
    pins = {}
    for t in problem.free_tensors.tolist():
        if rng.random() < share:
            home = int(rng.choice(np.flatnonzero(problem.allowed_TH[t])))
            pins[problem.workload.tensors[t].name] = problem.home_name(home)
    return pins


@st.composite
def problems(
    draw: st.DrawFn,
    max_ops: int = 40,
    machines: st.SearchStrategy[Accelerator] | None = None,
    wide: bool = True,
) -> PlacementProblem:
    """A workload on an accelerator, with or without pins."""
    accelerator = draw(accelerators() if machines is None else machines)
    seed = draw(st.integers(0, 2**32 - 1))
    ops = draw(st.integers(1, max_ops))
    fan_in = draw(st.sampled_from((0, 0, 0, 12)))
    workload = varied_workload(seed, ops, accelerator.default_type, wide=wide, fan_in=fan_in)
    problem = build_problem(workload, accelerator)
    if draw(st.booleans()):
        pins = random_pins(problem, np.random.default_rng(seed), 0.3)
        problem = build_problem(workload, accelerator, pins)
    return problem
