"""The DMA schedule of a plan: what is loaded before the first inference, what streams in each.

Steady copies follow the traced timeline. What the queue fetched ahead of its op lies in the ring
part of `@staging`, first in, first out, until that op has ended; what is late passes through the
two slices behind the ring, in turn. A piece that finds no room in the ring (bytes are whole there,
while the engine's are not) comes late instead, as does a piece of a state that would be fetched
before an op has written it.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace

from accelerator_sim.cost.traffic import operand_use
from accelerator_sim.plan import IMAGE_TENSOR, STAGING_TENSOR, Copy
from accelerator_sim.problem import PlacementProblem
from accelerator_sim.timeline import Timeline
from graph_ir.workload import TensorKind

Offsets = dict[tuple[int, str], int]
"""First byte by tier index and buffer name."""


def load_copies(problem: PlacementProblem, homes: Sequence[int], offsets: Offsets) -> list[Copy]:
    """Bring the weights of inner tiers in from `@image`, in workload order."""
    tiers = problem.accelerator.tiers
    copies = []
    position = offsets.get((0, IMAGE_TENSOR), 0)
    for t, tensor in enumerate(problem.workload.tensors):
        home = problem.homes[homes[t]]
        if tensor.kind is not TensorKind.WEIGHT or tensor.alias_of is not None or home.tier == 0:
            continue
        if tensor.size_bytes == 0:
            continue
        copies.append(
            Copy(
                tensor=tensor.name,
                from_tier=tiers[0].name,
                from_offset=position,
                to_tier=tiers[home.tier].name,
                to_offset=offsets[home.tier, tensor.name],
                size_bytes=tensor.size_bytes,
                channel=0,
                phase="load",
                after_op=0,
                before_op=0,
                mode=home.mode,
            )
        )
        alignment = tiers[0].alignment_bytes
        position += -(-tensor.size_bytes // alignment) * alignment
    return copies


@dataclass(frozen=True, slots=True)
class _Piece:
    """Bytes of one tensor for one op, fetched during another (or the same) op."""

    tensor: int
    for_op: int
    during_op: int
    first_byte: int
    size_bytes: int
    shares: int


@dataclass(slots=True)
class _Ring:
    """Offsets in the ring part of `@staging`, handed out first in, first out."""

    capacity_bytes: int
    held: deque[tuple[int, int, int]]
    head: int = 0

    def release_before(self, op: int) -> None:
        """Free what ops that have ended before `op` begins had fetched."""
        while self.held and self.held[0][2] < op:
            self.held.popleft()

    def room(self) -> int:
        """Contiguous free bytes at the head."""
        if not self.held:
            self.head = 0
            return self.capacity_bytes
        tail = self.held[0][0]
        return self.capacity_bytes - self.head if self.head > tail else tail - self.head

    def take(self, size_bytes: int, for_op: int) -> int:
        """Hold bytes at the head; returns their offset."""
        offset = self.head
        self.held.append((offset, size_bytes, for_op))
        self.head += size_bytes
        if self.head == self.capacity_bytes:
            self.head = 0
        return offset


def steady_copies(
    problem: PlacementProblem, homes: Sequence[int], offsets: Offsets, timeline: Timeline
) -> list[Copy]:
    """The transfers of every inference, in order of issue."""
    streaming = problem.accelerator.streaming
    inner = len(problem.accelerator.tiers) - 1
    if (inner, STAGING_TENSOR) not in offsets:
        return []
    base = offsets[inner, STAGING_TENSOR]
    ring = _Ring(max(0, streaming.staging_bytes - 2 * streaming.slice_bytes), deque())
    slot = 0
    copies: list[Copy] = []
    pending = deque(_pieces(problem, homes, timeline))
    late: deque[_Piece] = deque()
    while pending or late:
        # A piece that found no room waits until its own op runs.
        if late and (not pending or late[0].for_op <= pending[0].during_op):
            piece = late.popleft()
            piece_op = piece.for_op
        else:
            piece = pending.popleft()
            piece_op = piece.during_op
        per_core = -(-piece.size_bytes // piece.shares)
        if piece_op < piece.for_op:
            ring.release_before(piece_op)
            room = ring.room()
            if room == 0:
                late.append(piece)
                continue
            if room < per_core:
                piece, rest = _cut(piece, room * piece.shares)
                pending.appendleft(rest)
                per_core = room
            to_offset = base + ring.take(per_core, piece.for_op)
        else:
            to_offset = base + ring.capacity_bytes + slot * streaming.slice_bytes
            slot = 1 - slot
        copies.append(_copy(problem, homes, offsets, piece, piece_op, to_offset))
    return copies


def _pieces(problem: PlacementProblem, homes: Sequence[int], timeline: Timeline) -> list[_Piece]:
    """The timeline's transfers cut to slices, whole bytes, in order of time."""
    slice_bytes = problem.accelerator.streaming.slice_bytes
    cores = problem.accelerator.core_count
    per_core = problem.accelerator.tiers[-1].scope == "per-core"
    writers = _writers(problem)
    pieces = []
    for transfer in timeline.transfers:
        operand = problem.workload.ops[transfer.for_op].operands[transfer.operand]
        tensor_bytes = problem.workload.tensors[operand.tensor].size_bytes
        if operand.traffic_bytes < tensor_bytes:
            continue  # Gathered by address while its op runs: no static transfer can name it.
        trace = timeline.ops[transfer.for_op]
        variant = next(
            v
            for v in problem.variants_N[transfer.for_op]
            if (v.split, v.loop_order) == (trace.split, trace.loop_order)
        )
        shared_out = per_core and variant.split in operand.split_by
        # A stream may carry more than the tensor's bytes (a copy for each core, padding): its
        # parts are the same parts of as many passes over the tensor.
        passes = variant.passes[transfer.operand]
        use = operand_use(
            operand,
            problem.workload.tensors[operand.tensor].kind,
            problem.homes[homes[operand.tensor]],
            variant,
            passes,
            problem.accelerator,
            float(problem.stored_ratio_T[operand.tensor]),
        )
        during_op = transfer.during_op
        if any(during_op <= w < transfer.for_op for w in writers.get(operand.tensor, ())):
            during_op = transfer.for_op
        total = tensor_bytes * use.fetches
        streamed = max(1, round(use.stream_bytes))
        first = transfer.first_byte * total // streamed
        last = (transfer.first_byte + transfer.size_bytes) * total // streamed
        while first < last:
            start = first % tensor_bytes
            size = min(last - first, slice_bytes, tensor_bytes - start)
            pieces.append(
                _Piece(
                    operand.tensor,
                    transfer.for_op,
                    during_op,
                    start,
                    size,
                    cores if shared_out else 1,
                )
            )
            first += size
    return sorted(pieces, key=lambda piece: piece.during_op)


def _writers(problem: PlacementProblem) -> dict[int, list[int]]:
    """The ops that write each state."""
    writers: dict[int, list[int]] = {}
    for index, op in enumerate(problem.workload.ops):
        for operand in op.operands:
            kind = problem.workload.tensors[operand.tensor].kind
            if operand.is_write and kind is TensorKind.STATE:
                writers.setdefault(operand.tensor, []).append(index)
    return writers


def _cut(piece: _Piece, size_bytes: int) -> tuple[_Piece, _Piece]:
    return (
        replace(piece, size_bytes=size_bytes),
        replace(
            piece,
            first_byte=piece.first_byte + size_bytes,
            size_bytes=piece.size_bytes - size_bytes,
        ),
    )


def _copy(
    problem: PlacementProblem,
    homes: Sequence[int],
    offsets: Offsets,
    piece: _Piece,
    during_op: int,
    to_offset: int,
) -> Copy:
    tiers = problem.accelerator.tiers
    tensor = problem.workload.tensors[piece.tensor]
    home = problem.homes[homes[piece.tensor]]
    per_core = tiers[-1].scope == "per-core"
    return Copy(
        tensor=tensor.name,
        from_tier=tiers[home.tier].name,
        from_offset=offsets[home.tier, tensor.name] + piece.first_byte,
        to_tier=tiers[-1].name,
        to_offset=to_offset,
        size_bytes=piece.size_bytes,
        channel=0,
        phase="steady",
        after_op=during_op,
        before_op=piece.for_op if during_op < piece.for_op else piece.for_op + 1,
        mode="shared" if not per_core else "partitioned" if piece.shares > 1 else "replicated",
    )
