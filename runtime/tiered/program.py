"""What the tiered machine does for each op of a plan: which bytes move, and which op it runs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from accelerator_sim.plan import Plan
from accelerator_sim.problem import PlacementProblem
from graph_ir.workload import Role
from runtime.copy_schedule import CopySchedule
from runtime.host_types import HostType
from runtime.tensor_map import TensorMap, scale_of


@dataclass(frozen=True, slots=True)
class Stream:
    """A tensor that an op reads from, or writes to, an outer memory while it runs.

    Attributes:
        tensor: name of the one that owns the memory.
        tier: name.
        size_bytes: host bytes that move.
        whole: False where the op touches only a part, found by address while it runs (a gather).
    """

    tensor: str
    tier: str
    size_bytes: int
    whole: bool


@dataclass(frozen=True, slots=True)
class DmaSlice:
    """A slice of a weight on its way to the staging ring.

    Attributes:
        tensor: name of the one that owns the memory.
        tier: name of the memory that it comes from.
        moment: index of the op with which it may begin.
        consumer: index of the op that it is for.
        begin: first host byte in the tensor.
        size_bytes: host bytes.
        ring_offset: first host byte in the innermost memory.
    """

    tensor: str
    tier: str
    moment: int
    consumer: int
    begin: int
    size_bytes: int
    ring_offset: int


@dataclass(frozen=True, slots=True)
class OpProgram:
    """One op.

    Attributes:
        reads: what it reads from outer memories beside its weights.
        writes: what it writes there.
        late: slices of its weights that come while it runs.
        arriving: slices that the DMA brings in ahead, which it waits for.
        streamed: weights that come in slices, by name, with their host bytes.
    """

    reads: tuple[Stream, ...]
    writes: tuple[Stream, ...]
    late: tuple[DmaSlice, ...]
    arriving: tuple[DmaSlice, ...]
    streamed: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Program:
    """A whole inference.

    Attributes:
        ops: in order.
        dma: all slices that come ahead, in the order of the DMA's queue.
        scale: host bytes per planned byte of the addresses.
        inner: name of the innermost tier.
        outer: names of the others, from outermost.
    """

    ops: tuple[OpProgram, ...]
    dma: tuple[DmaSlice, ...]
    scale: int
    inner: str
    outer: tuple[str, ...]


@dataclass(slots=True)
class _Pending:
    late: list[DmaSlice] = field(default_factory=list)
    arriving: list[DmaSlice] = field(default_factory=list)


def build_program(
    problem: PlacementProblem, homes: Sequence[int], plan: Plan, types: Mapping[str, HostType]
) -> Program:
    """Read the transfers of an inference from a plan and the problem that it solves.

    Args:
        problem: of one core; says how many bytes an op touches.
        homes: a home per tensor.
        plan: of these homes.
        types: of the model's values on the host.

    Raises:
        PlanViolationError: the plan's copies cannot be executed.
    """
    scale = scale_of(plan, types)
    tensors = TensorMap(plan, types, scale)
    names = [tensor.name for tensor in problem.workload.tensors]
    sizes = {t.name: _host_bytes(t.name, t.size_bytes, types) for t in problem.workload.tensors}
    planned = {t.name: max(1, t.size_bytes) for t in problem.workload.tensors}
    tiers = [tier.name for tier in plan.tiers]
    pending = [_Pending() for _ in plan.ops]
    dma: list[DmaSlice] = []
    for steady in CopySchedule(plan, tensors, scale).steady:
        copy = steady.copy
        if steady.consumer is None or not 0 <= steady.consumer < len(plan.ops):
            continue  # A move between homes, or for the next inference: one core plans neither.
        host, plan_bytes = sizes[copy.tensor], planned[copy.tensor]
        first = steady.first_byte // scale
        begin = first * host // plan_bytes
        end = (first + copy.size_bytes) * host // plan_bytes
        piece = DmaSlice(
            copy.tensor, copy.from_tier, steady.moment, steady.consumer,
            begin, end - begin, scale * copy.to_offset,
        )  # fmt: skip
        if steady.moment == steady.consumer:
            pending[steady.consumer].late.append(piece)
        else:
            pending[steady.consumer].arriving.append(piece)
            dma.append(piece)
    ops = []
    for index, op in enumerate(problem.workload.ops):
        slices = pending[index].late + pending[index].arriving
        streamed = {piece.tensor: sizes[piece.tensor] for piece in slices}
        reads, writes = [], []
        for operand in op.operands:
            name = names[operand.tensor]
            tier = problem.homes[homes[operand.tensor]].tier
            if tier == len(tiers) - 1 or name in streamed or not operand.traffic_bytes:
                continue
            tensor = problem.workload.tensors[operand.tensor]
            touched = min(sizes[name], operand.traffic_bytes * sizes[name] // planned[name])
            whole = operand.traffic_bytes >= tensor.size_bytes
            stream = Stream(name, tiers[tier], touched, whole)
            if operand.role is not Role.OUTPUT:
                reads.append(stream)
            if operand.role in (Role.OUTPUT, Role.SCRATCH):
                writes.append(stream)
        ops.append(
            OpProgram(
                tuple(reads),
                tuple(writes),
                tuple(pending[index].late),
                tuple(pending[index].arriving),
                streamed,
            )
        )
    return Program(tuple(ops), tuple(dma), scale, tiers[-1], tuple(tiers[:-1]))


def _host_bytes(name: str, size_bytes: int, types: Mapping[str, HostType]) -> int:
    """Bytes on the host; what is no value of the model (scratch) has its planned bytes."""
    return types[name].size_bytes if name in types else size_bytes
