"""Problems small enough to see the answer: weights of given sizes on a two-tier machine."""

from collections.abc import Sequence

from msgspec.structs import replace

from accelerator_sim.problem import PlacementProblem, build_problem
from accelerator_sim.targets import load_target
from graph_ir.workload import Op, Operand, OpFamily, Role, Split, Tensor, TensorKind, Workload
from tests.accelerator_sim.machines import quantity, tier, with_streaming

BOTH = (Split.ROWS, Split.COLUMNS)


def knapsack(
    sizes: Sequence[int], uses: Sequence[int], inner_bytes: int, activation_bytes: int = 0
) -> PlacementProblem:
    """One op per use of a weight; nothing but reading takes time, and nothing is prefetched.

    Args:
        sizes: bytes of each weight.
        uses: ops that read it.
        inner_bytes: capacity of the inner tier.
        activation_bytes: that every op hands to the next; 0 for a chain of single bytes.
    """
    count = sum(uses)
    tensors = [
        Tensor(f"weight{w}", TensorKind.WEIGHT, (size,), "int8", size, 0, count)
        for w, size in enumerate(sizes)
    ]
    ops: list[Op] = []
    passed = max(1, activation_bytes)
    source = None
    for w, times in enumerate(uses):
        for _ in range(times):
            at = len(ops)
            kind = TensorKind.ACTIVATION if at + 1 < count else TensorKind.IO
            end = at + 2 if at + 1 < count else count
            tensors.append(Tensor(f"out{at}", kind, (passed,), "int8", passed, at, end))
            reads = [] if source is None else [Operand(source, Role.OTHER, passed, BOTH)]
            reads.append(Operand(w, Role.OTHER, sizes[w], BOTH))
            source = len(tensors) - 1
            output = Operand(source, Role.OUTPUT, passed, BOTH)
            ops.append(
                Op(
                    f"op{at}", OpFamily.ELEMENTWISE, (f"node{at}",), (*reads, output), (), 1,
                    16, 16, "vector", "int8",
                )
            )  # fmt: skip
    base = load_target("ethos-u65-512")
    machine = with_streaming(
        replace(
            base,
            tiers=[
                tier("outer", read=1e9, write=1e9, capacity=1 << 40),
                tier("inner", read=1e12, write=1e12, capacity=inner_bytes),
            ],
            launch_overhead_s=quantity(0.0),
        ),
        prefetch_ops=0,
        slice_bytes=0,
        staging_bytes=0,
    )
    return build_problem(Workload("knapsack", "int8", tuple(ops), tuple(tensors)), machine)
