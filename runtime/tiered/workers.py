"""The machine's copy threads: one per outer memory for the running op, one for the DMA queue."""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from queue import SimpleQueue

from runtime.arena import Bytes
from runtime.tiered.limiter import Direction
from runtime.tiered.memories import Memories
from runtime.tiered.program import DmaSlice


@dataclass(frozen=True, slots=True)
class Move:
    """Bytes between an outer memory and a buffer beside the op.

    Attributes:
        tier: name of the outer memory.
        offset: first host byte there.
        buffer_B: the other end.
        direction: `read` from the memory or `write` to it.
    """

    tier: str
    offset: int
    buffer_B: Bytes
    direction: Direction


@dataclass(frozen=True, slots=True)
class _Batch:
    moves: Sequence[Move]
    since_s: float
    slices: int


class CopyThread:
    """Moves what the running op streams from or to one memory."""

    def __init__(self, memories: Memories, tier: str, slice_bytes: int) -> None:
        self._memories = memories
        self._limiter = memories.limiters[tier]
        self._slice_bytes = slice_bytes
        self._work: SimpleQueue[_Batch | None] = SimpleQueue()
        self._done: SimpleQueue[BaseException | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._serve, name=f"copy {tier}", daemon=True)
        self._thread.start()

    def begin(self, moves: Sequence[Move], since_s: float) -> None:
        """Start moving; the memory could have worked on it from `since_s` on."""
        slices = sum(-(-move.buffer_B.size // self._slice_bytes) for move in moves)
        self._limiter.announce(slices)
        self._work.put(_Batch(moves, since_s, slices))

    def finish(self) -> None:
        """Wait for what was begun first and not waited for yet."""
        error = self._done.get()
        if error is not None:
            raise error

    def close(self) -> None:
        """End the thread."""
        self._work.put(None)
        self._thread.join()

    def _serve(self) -> None:
        while (batch := self._work.get()) is not None:
            begun = 0
            try:
                for move in batch.moves:
                    for first in range(0, move.buffer_B.size, self._slice_bytes):
                        begun += 1
                        self._move(move, first, batch.since_s, begun == batch.slices)
            except BaseException as error:
                # What was announced and will not come may not hold up the DMA.
                self._limiter.announce(begun - batch.slices)
                self._done.put(error)
            else:
                self._done.put(None)

    def _move(self, move: Move, first: int, since_s: float, last: bool) -> None:
        part_B = move.buffer_B[first : first + self._slice_bytes]
        self._limiter.transfer(
            copier(self._memories, move, first, part_B),
            part_B.size,
            move.direction,
            urgent=True,
            since_s=since_s,
            last=last,
        )


def copier(memories: Memories, move: Move, first: int, part_B: Bytes) -> Callable[[], None]:
    """The copy of one slice."""
    if move.direction == "read":
        return lambda: memories.read(move.tier, move.offset + first, part_B)
    return lambda: memories.write(move.tier, move.offset + first, part_B)


class DmaThread:
    """Brings weights in ahead of their ops, slice by slice, first in, first out."""

    def __init__(
        self,
        memories: Memories,
        inner: str,
        slices: Sequence[DmaSlice],
        offsets: Mapping[tuple[str, int], int],
        assembled: Sequence[Mapping[str, Bytes]],
    ) -> None:
        """Prepare the queue of one plan.

        Args:
            memories: of the machine.
            inner: name of the memory that holds the ring.
            slices: the queue.
            offsets: of each tensor in its memory, by name and op.
            assembled: by op, where the op finds each weight.
        """
        self._memories = memories
        self._ring_B = memories.arena.tiers_CB[inner][0]
        self._slices = slices
        self._offsets = offsets
        self._assembled = assembled
        self._state = threading.Condition()
        self._op = -1
        self._op_begin_s = [0.0] * len(assembled)
        self._stopped = False
        self._error: BaseException | None = None
        self._left = [0] * len(assembled)
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin an inference."""
        self._op = -1
        self._left = [0] * len(self._assembled)
        for piece in self._slices:
            self._left[piece.consumer] += 1
        if self._slices:
            self._thread = threading.Thread(target=self._serve, name="dma", daemon=True)
            self._thread.start()

    def op_begins(self, op: int, begin_s: float) -> None:
        """What may begin with this op may begin, from a moment of `time.perf_counter` on."""
        with self._state:
            self._op = op
            self._op_begin_s[op] = begin_s
            self._state.notify_all()

    def wait_for(self, op: int) -> None:
        """Return when all slices for an op are there."""
        with self._state:
            while self._left[op] > 0 and self._error is None:
                self._state.wait()
            if self._error is not None:
                raise self._error

    def stop(self) -> None:
        """End the inference, also where it failed."""
        with self._state:
            self._stopped = True
            self._state.notify_all()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        self._stopped = False

    def _serve(self) -> None:
        free_s = 0.0
        try:
            for piece in self._slices:
                with self._state:
                    while self._op < piece.moment and not self._stopped:
                        self._state.wait()
                    if self._stopped:
                        return
                free_s = self._memories.limiters[piece.tier].transfer(
                    self._copier(piece),
                    piece.size_bytes,
                    "read",
                    urgent=False,
                    since_s=max(free_s, self._op_begin_s[piece.moment]),
                )
                with self._state:
                    self._left[piece.consumer] -= 1
                    self._state.notify_all()
        except BaseException as error:
            with self._state:
                self._error = error
                self._state.notify_all()

    def _copier(self, piece: DmaSlice) -> Callable[[], None]:
        source = self._offsets[piece.tensor, piece.consumer] + piece.begin
        slot_B = self._ring_B[piece.ring_offset : piece.ring_offset + piece.size_bytes]
        whole_B = self._assembled[piece.consumer][piece.tensor]
        target_B = whole_B[piece.begin : piece.begin + piece.size_bytes]

        def copy() -> None:
            self._memories.read(piece.tier, source, slot_B)
            target_B[:] = slot_B

        return copy
