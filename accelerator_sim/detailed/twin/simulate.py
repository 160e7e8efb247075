"""One placement through the twin of the compiled loop."""

from collections.abc import Sequence

import simpy

from accelerator_sim.accelerator import Accelerator, Home
from accelerator_sim.detailed.model import DEFAULTS, DetailedResult
from accelerator_sim.detailed.parameters import DetailedParameters
from accelerator_sim.detailed.twin.dma import Dma
from accelerator_sim.detailed.twin.machine import Machine
from accelerator_sim.detailed.twin.server import Server
from accelerator_sim.detailed.workload_compiler import WorkloadCompiler
from graph_ir.workload import Workload


def simulate_with_twin(
    workload: Workload,
    accelerator: Accelerator,
    homes: Sequence[Home],
    parameters: DetailedParameters = DEFAULTS,
    addresses: Sequence[int] | None = None,
) -> DetailedResult:
    """What `simulate_detailed` computes, slowly; homes are not checked.

    Args:
        workload: ops and tensors.
        accelerator: the target.
        homes: one for each tensor.
        parameters: of the model.
        addresses: see `DetailedModel`.

    Raises:
        InputError: see `WorkloadCompiler`.
    """
    compiler = WorkloadCompiler(workload, accelerator, parameters, addresses)
    hardware = compiler.hardware
    programs = [
        compiler.compile(op, [homes[t] for t in tensors])
        for op, tensors in enumerate(compiler.tensors_of_op)
    ]
    env = simpy.Environment()
    servers = [
        Server(env, rate, timing, hardware.fair)
        for rate, timing in zip(hardware.bytes_per_s, hardware.timings, strict=True)
    ]
    machine = Machine(
        env, programs, compiler.pages_of_op, servers,
        hardware.launch_s, hardware.barrier_s, hardware.tile_slots,
    )  # fmt: skip
    dma = Dma(
        env, programs, machine.issue,
        hardware.slice_bytes, hardware.ring_bytes, hardware.prefetch_ops, hardware.dma_depth,
    )  # fmt: skip
    env.run(until=env.process(machine.run(dma)))
    return DetailedResult(
        float(env.now),
        tuple(machine.op_end_s),
        tuple(server.busy_s for server in servers),
        tuple(server.lost_s for server in servers),
    )
