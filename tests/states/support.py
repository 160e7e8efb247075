"""Random workloads whose states are written, before, after and by the ops that read them."""

from dataclasses import replace

import numpy as np
from hypothesis import strategies as st

from accelerator_sim.problem import PlacementProblem, build_problem
from graph_ir.workload import Op, Operand, Role, Split, TensorKind, Workload
from tests.accelerator_sim.cases import random_pins, varied_workload
from tests.accelerator_sim.machines import accelerators

BOTH = (Split.ROWS, Split.COLUMNS)


def stateful_workload(
    seed: int, op_count: int, data_type: str, wide: bool = True, honest: bool = True
) -> Workload:
    """A random workload; a third of its ops write a state, or part of one.

    Args:
        seed: of all choices.
        op_count: ops.
        data_type: execution type.
        wide: see `random_workload`.
        honest: mark what is read after it was written as fresh, as lowering does.
    """
    rng = np.random.default_rng([seed, 1])
    plain = varied_workload(seed, op_count, data_type, wide=wide)
    tensors = list(plain.tensors)
    for t, tensor in enumerate(tensors):
        if tensor.kind is TensorKind.WEIGHT and rng.random() < 0.4:
            tensors[t] = replace(tensor, kind=TensorKind.STATE)
        if tensors[t].kind is TensorKind.STATE and tensor.alias_of is None and rng.random() < 0.7:
            tensors[t] = replace(tensors[t], written_as=f"{tensor.name}.next")
    states = [
        t
        for t, tensor in enumerate(tensors)
        if tensor.kind is TensorKind.STATE and tensor.alias_of is None
    ]
    ops: list[Op] = []
    written: set[int] = set()
    for op in plain.ops:
        operands = [
            replace(operand, fresh=honest and operand.tensor in written) for operand in op.operands
        ]
        if states and rng.random() < 0.35:
            here = [o.tensor for o in operands if o.tensor in states]
            t = int(rng.choice(here if here and rng.random() < 0.7 else states))
            size = tensors[t].size_bytes
            moved = size if rng.random() < 0.2 else max(1, size // int(rng.integers(2, 300)))
            operands.append(Operand(t, Role.OUTPUT, moved, BOTH))
            written.add(t)
        ops.append(replace(op, operands=tuple(operands)))
    return Workload(plain.name, plain.execution_type, tuple(ops), tuple(tensors))


@st.composite
def stateful_problems(draw: st.DrawFn, max_ops: int = 25, honest: bool = True) -> PlacementProblem:
    """Such a workload on an accelerator, with or without pins."""
    accelerator = draw(accelerators())
    seed = draw(st.integers(0, 2**32 - 1))
    ops = draw(st.integers(2, max_ops))
    # Slices of some machines are a few bytes: megabytes would be millions of them.
    workload = stateful_workload(seed, ops, accelerator.default_type, wide=False, honest=honest)
    problem = build_problem(workload, accelerator)
    if draw(st.booleans()):
        pins = random_pins(problem, np.random.default_rng(seed), 0.3)
        problem = build_problem(workload, accelerator, pins)
    return problem
