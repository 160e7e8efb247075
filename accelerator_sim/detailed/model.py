"""The detailed model of a workload on an accelerator, and what it answers for a placement."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import simpy

from accelerator_sim.accelerator import Accelerator, Home
from accelerator_sim.detailed.compiler import (
    Candidate,
    candidates_of,
    cases_of,
    compile_op,
)
from accelerator_sim.detailed.dma import Dma
from accelerator_sim.detailed.machine import Machine
from accelerator_sim.detailed.parameters import IDEAL_MEMORY, DetailedParameters, MemoryTiming
from accelerator_sim.detailed.program import Program
from accelerator_sim.detailed.server import Server
from accelerator_sim.detailed.sharing import servers_of
from graph_ir.errors import InputError
from graph_ir.workload import Workload

DEFAULTS = DetailedParameters()


@dataclass(frozen=True, slots=True)
class DetailedResult:
    """What one simulated inference gave.

    Attributes:
        latency_s: of the inference.
        op_end_s: when each op ended.
        busy_s: by server (tiers, interconnect, port, write ports): time spent serving.
        lost_s: likewise, the part that went to conflicts, turnarounds and refreshes.
    """

    latency_s: float
    op_end_s: tuple[float, ...]
    busy_s: tuple[float, ...]
    lost_s: tuple[float, ...]


class DetailedModel:
    """Keeps the programs of ops that it has met, so that the next placement is faster."""

    def __init__(
        self,
        workload: Workload,
        accelerator: Accelerator,
        parameters: DetailedParameters = DEFAULTS,
        addresses: Sequence[int] | None = None,
    ) -> None:
        """Prepare.

        Args:
            workload: ops and tensors.
            accelerator: the target.
            parameters: of the model.
            addresses: first byte of each tensor, where a plan gives them; hashed from the seed
                and the tensors' names where None.

        Raises:
            InputError: the number of addresses is not that of the tensors.
        """
        if addresses is not None and len(addresses) != len(workload.tensors):
            raise InputError(
                f"addresses: expected one for each of {len(workload.tensors)} tensors, "
                f"got {len(addresses)}"
            )
        self._workload = workload
        self._accelerator = accelerator
        self._parameters = parameters
        self._servers = servers_of(accelerator)
        self._cases = cases_of(workload, accelerator)
        self._tensors_of_op = [[o.tensor for o in op.operands] for op in workload.ops]
        shapes: dict[tuple[object, ...], int] = {}
        self._shape_of_op = [shapes.setdefault(c.signature, len(shapes)) for c in self._cases]
        pages = _pages(workload, parameters, addresses)
        self._pages_of_ops = [[pages[t] for t in tensors] for tensors in self._tensors_of_op]
        self._candidates: dict[int, tuple[Candidate, ...]] = {}
        self._programs: dict[tuple[object, ...], Program] = {}

    def simulate(self, homes: Sequence[Home]) -> DetailedResult:
        """One inference.

        Args:
            homes: one for each tensor. Capacity is not checked.

        Raises:
            InputError: the number of homes is not that of the tensors, one is of no tier, or the
                target has no rate for what an op computes.
        """
        self._check(homes)
        programs = [self._program(index, homes) for index in range(len(self._cases))]
        parameters, accelerator = self._parameters, self._accelerator
        env = simpy.Environment()
        servers = [
            Server(env, rate, self._timing(index), parameters.arbitration == "round-robin")
            for index, rate in enumerate(self._servers.bytes_per_s)
        ]
        cores = accelerator.core_count
        barrier_s = parameters.barrier_cycles * (cores - 1).bit_length()
        machine = Machine(
            env,
            programs,
            self._pages_of_ops,
            servers,
            accelerator.launch_overhead_s.value,
            barrier_s / accelerator.clock_hz.value,
            parameters.tile_slots,
        )
        streaming = accelerator.streaming
        dma = Dma(
            env,
            programs,
            machine.issue,
            float(streaming.slice_bytes),
            float(streaming.staging_bytes),
            streaming.prefetch_ops,
            parameters.dma_depth,
        )
        env.run(until=env.process(machine.run(dma)))
        return DetailedResult(
            float(env.now),
            tuple(machine.op_end_s),
            tuple(server.busy_s for server in servers),
            tuple(server.lost_s for server in servers),
        )

    def _check(self, homes: Sequence[Home]) -> None:
        if len(homes) != len(self._workload.tensors):
            raise InputError(
                f"homes: expected one for each of {len(self._workload.tensors)} tensors, "
                f"got {len(homes)}"
            )
        tiers = self._accelerator.tiers
        for tensor, home in zip(self._workload.tensors, homes, strict=True):
            if not 0 <= home.tier < len(tiers):
                raise InputError(
                    f"tensor {tensor.name}: expected a tier from 0 to {len(tiers) - 1}, "
                    f"got {home.tier}"
                )
            if (home.mode == "shared") is not (tiers[home.tier].scope == "shared"):
                raise InputError(
                    f"tensor {tensor.name}: {tiers[home.tier].name} is "
                    f"{tiers[home.tier].scope}, got mode {home.mode}"
                )

    def _program(self, index: int, homes: Sequence[Home]) -> Program:
        operand_homes = tuple(homes[t] for t in self._tensors_of_op[index])
        key = (self._shape_of_op[index], operand_homes)
        program = self._programs.get(key)
        if program is None:
            case, parameters, servers = self._cases[index], self._parameters, self._servers
            shape = self._shape_of_op[index]
            if shape not in self._candidates:
                self._candidates[shape] = candidates_of(case, self._accelerator, parameters)
            program = compile_op(
                case, self._candidates[shape], operand_homes,
                self._accelerator, servers, parameters,
            )  # fmt: skip
            self._programs[key] = program
        return program

    def _timing(self, server: int) -> MemoryTiming:
        """Links are ideal; the outermost of several tiers is the DRAM."""
        servers = self._servers
        tiers = [server] if server < servers.tier_count else []
        tiers += [t for t, s in enumerate(servers.write_server) if s == server]
        if not tiers:
            return IDEAL_MEMORY
        return (
            self._parameters.outer
            if tiers[0] == 0 < servers.tier_count - 1
            else self._parameters.inner
        )


def simulate_detailed(
    workload: Workload,
    accelerator: Accelerator,
    homes: Sequence[Home],
    parameters: DetailedParameters = DEFAULTS,
    addresses: Sequence[int] | None = None,
) -> DetailedResult:
    """Simulate one placement; `DetailedModel` is faster for many.

    Args:
        workload: ops and tensors.
        accelerator: the target.
        homes: one for each tensor.
        parameters: of the model.
        addresses: see `DetailedModel`.

    Raises:
        InputError: see `DetailedModel` and its `simulate`.
    """
    return DetailedModel(workload, accelerator, parameters, addresses).simulate(homes)


def _pages(
    workload: Workload, parameters: DetailedParameters, addresses: Sequence[int] | None
) -> list[int]:
    if addresses is not None:
        return [address // parameters.outer.row_bytes for address in addresses]
    return [zlib.crc32(f"{parameters.seed}/{tensor.name}".encode()) for tensor in workload.tensors]
