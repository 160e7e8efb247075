"""One inference through the twin of the compiled loop."""

from collections.abc import Sequence

import simpy

from accelerator_sim.detailed.hardware import Hardware
from accelerator_sim.detailed.model import DetailedResult
from accelerator_sim.detailed.program import Program
from accelerator_sim.detailed.twin.dma import Dma
from accelerator_sim.detailed.twin.machine import Machine
from accelerator_sim.detailed.twin.server import Server


def simulate_with_twin(
    hardware: Hardware, programs: Sequence[Program], pages_of_op: Sequence[Sequence[int]]
) -> DetailedResult:
    """What the compiled loop computes, slowly.

    Args:
        hardware: that the programs run on.
        programs: one for each op.
        pages_of_op: first page of each operand's tensor.
    """
    env = simpy.Environment()
    servers = [
        Server(env, rate, timing, hardware.fair)
        for rate, timing in zip(hardware.bytes_per_s, hardware.timings, strict=True)
    ]
    machine = Machine(
        env, programs, pages_of_op, servers,
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
