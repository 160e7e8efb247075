"""The plan's DMA schedule, executed byte by byte in the arena.

Every copy is made as early as the plan allows it (when its `after_op` begins, or when the copy
before it in its channel was made), and what an op takes from the staging ring is taken as late as
possible (when the op begins). So a ring slot that is given away too early is seen as wrong bytes.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from accelerator_sim.plan import IMAGE_TENSOR, STAGING_TENSOR, Copy, Plan
from graph_ir.text import quoted
from runtime.arena import Arena, Bytes, PlanViolationError, Region, share_bytes
from runtime.tensor_map import TensorMap


@dataclass(frozen=True, slots=True)
class _Steady:
    """A copy of the steady phase: when it is made, and for which op (None: a move)."""

    copy: Copy
    moment: int
    consumer: int | None
    first_byte: int


class Transfers:
    """Executes loads before the first op, and steady copies op by op."""

    def __init__(self, plan: Plan, tensors: TensorMap, arena: Arena) -> None:
        self._plan = plan
        self._tensors = tensors
        self._arena = arena
        self._cores = {tier.name: tier.cores for tier in plan.tiers}
        self._places = {tensor.name: tensor for tensor in plan.tensors}
        self._readers = _readers(plan, tensors)
        self._image_base = self._image_bases()
        self._steady = self._schedule()
        self._next = 0
        self._waiting: list[_Steady] = []
        self._taken: dict[str, Bytes] = {}
        self.streamed_bytes = 0

    def load(self, weights: Mapping[str, Bytes]) -> None:
        """Write the outermost copies of the weights, then bring those inwards that live there.

        Args:
            weights: host bytes by name of the tensor that owns the memory.
        """
        for (tier, name), base in self._image_base.items():
            if name in weights:
                self._write_image(tier, base, weights[name])
        for copy in self._plan.copies:
            if copy.phase == "load":
                self._execute(copy)
        # The steady state begins with what the inference before has already fetched for this one.
        count = len(self._plan.ops)
        for steady in self._steady:
            if steady.consumer is not None and steady.consumer >= count:
                self._execute(steady.copy)
                wrapped = _Steady(
                    steady.copy, steady.moment - count, steady.consumer - count, steady.first_byte
                )
                self._waiting.append(wrapped)

    def begin_op(self, op: int) -> None:
        """Make the copies that may begin with this op, and take its slices from the ring."""
        self._taken = {}
        taken_early = False
        while self._next < len(self._steady) and self._steady[self._next].moment <= op:
            steady = self._steady[self._next]
            self._next += 1
            if steady.consumer == op:
                # A late slice passes through the ring while its op runs, after the slices that
                # were there when the op began.
                if not taken_early:
                    self._take_waiting(op)
                    taken_early = True
                self._execute(steady.copy)
                self._take(steady)
            else:
                self._execute(steady.copy)
                if steady.consumer is not None:
                    self._waiting.append(steady)
        self._take_waiting(op)

    def streamed(self, name: str) -> Bytes | None:
        """Host bytes of a tensor's memory as they came through the ring for the current op."""
        return self._taken.get(name)

    def _take_waiting(self, op: int) -> None:
        rest: list[_Steady] = []
        for steady in self._waiting:
            if steady.consumer == op:
                self._take(steady)
            else:
                rest.append(steady)
        self._waiting = rest

    def _take(self, steady: _Steady) -> None:
        copy = steady.copy
        data_B = self._arena.read(self._destination(copy))
        whole = self._taken.get(copy.tensor)
        if whole is None:
            # Bytes that no copy brings are streamed by the op itself, straight from the home.
            whole = self._home_bytes(copy)
            self._taken[copy.tensor] = whole
        end = min(steady.first_byte + data_B.size, whole.size)
        whole[steady.first_byte : end] = data_B[: end - steady.first_byte]
        self.streamed_bytes += copy.size_bytes

    def _home_bytes(self, copy: Copy) -> Bytes:
        key = (copy.from_tier, copy.tensor)
        size = self._arena.scale * self._places[copy.tensor].size_bytes
        if key in self._image_base and self._in(IMAGE_TENSOR, copy.from_tier, copy.from_offset):
            base = self._arena.scale * self._image_base[key]
            return self._arena.read(Region(copy.from_tier, "shared", base, size, 0, size))
        place = self._in(copy.tensor, copy.from_tier, copy.from_offset)
        if place is None:
            raise PlanViolationError(_lost(copy))
        return self._arena.read(place)

    def _execute(self, copy: Copy) -> None:
        size = self._arena.scale * copy.size_bytes
        source = Region(
            copy.from_tier, "shared", self._arena.scale * copy.from_offset, size, 0, size
        )
        self._arena.write(self._destination(copy), self._arena.read(source))

    def _destination(self, copy: Copy) -> Region:
        share = share_bytes(copy.size_bytes, copy.mode, self._cores[copy.to_tier])
        scale = self._arena.scale
        return Region(
            copy.to_tier,
            copy.mode,
            scale * copy.to_offset,
            scale * share,
            0,
            scale * copy.size_bytes,
        )

    def _write_image(self, tier: str, base: int, data_B: Bytes) -> None:
        self._arena.write(
            Region(tier, "shared", self._arena.scale * base, data_B.size, 0, data_B.size), data_B
        )

    def _in(self, name: str, tier: str, offset: int) -> Region | None:
        """The memory of `name` in `tier` that holds planned byte `offset`."""
        tensor = self._places.get(name)
        if tensor is None:
            return None
        for residence in tensor.residences:
            share = share_bytes(tensor.size_bytes, residence.mode, self._cores[residence.tier])
            inside = residence.offset <= offset < residence.offset + share
            if residence.tier == tier and inside:
                return self._tensors.place(tensor, residence)
        return None

    def _image_bases(self) -> dict[tuple[str, str], int]:
        """Where in `@image` each tensor that is copied out of it begins."""
        bases: dict[tuple[str, str], int] = {}
        for copy in self._plan.copies:
            if copy.tensor not in self._places:
                raise PlanViolationError(f"copy of {quoted(copy.tensor)}: no such tensor")
            if self._in(IMAGE_TENSOR, copy.from_tier, copy.from_offset) is not None:
                key = (copy.from_tier, copy.tensor)
                bases[key] = min(bases.get(key, copy.from_offset), copy.from_offset)
        return bases

    def _schedule(self) -> list[_Steady]:
        channel_moment: dict[int, int] = {}
        schedule: list[_Steady] = []
        for copy in self._plan.copies:
            if copy.phase != "steady":
                continue
            moment = max(copy.after_op, channel_moment.get(copy.channel, copy.after_op))
            channel_moment[copy.channel] = moment
            consumer: int | None = None
            first_byte = 0
            if self._in(STAGING_TENSOR, copy.to_tier, copy.to_offset) is not None:
                consumer = self._consumer(copy)
                first_byte = self._first_byte(copy)
                if moment > consumer:
                    raise PlanViolationError(
                        f"copy of {quoted(copy.tensor)}: is for op {consumer}, but cannot begin "
                        f"before op {moment}"
                    )
            elif self._in(copy.tensor, copy.to_tier, copy.to_offset) is None:
                raise PlanViolationError(
                    f"copy of {quoted(copy.tensor)}: byte {copy.to_offset} of {copy.to_tier} is "
                    "neither in the staging ring nor in the tensor's own memory"
                )
            schedule.append(_Steady(copy, moment, consumer, first_byte))
        # Stable: copies of one moment keep the order in which they are listed.
        return sorted(schedule, key=lambda steady: steady.moment)

    def _consumer(self, copy: Copy) -> int:
        """The op that uses a slice: the one that it must be there for, or the running one."""
        count = len(self._plan.ops)
        readers = self._readers.get(copy.tensor, ())
        for op in (copy.before_op, copy.after_op):
            if op in readers or (op >= count and op - count in readers):
                return op
        raise PlanViolationError(
            f"copy of {quoted(copy.tensor)}: neither op {copy.before_op} nor op {copy.after_op} "
            "reads it"
        )

    def _first_byte(self, copy: Copy) -> int:
        """First host byte of a slice within the tensor."""
        scale = self._arena.scale
        key = (copy.from_tier, copy.tensor)
        place = self._in(copy.tensor, copy.from_tier, copy.from_offset)
        if place is not None and place.mode != "partitioned":
            return scale * copy.from_offset - place.offset
        if place is None and key in self._image_base:
            return scale * (copy.from_offset - self._image_base[key])
        raise PlanViolationError(_lost(copy))


def _lost(copy: Copy) -> str:
    return (
        f"copy of {quoted(copy.tensor)}: byte {copy.from_offset} of {copy.from_tier} is not in "
        "that tensor's memory, or its memory is split over the cores"
    )


def _readers(plan: Plan, tensors: TensorMap) -> dict[str, tuple[int, ...]]:
    """Ops that read each memory, aliases counted for the tensor that owns it."""
    readers: dict[str, list[int]] = {}
    for index, op in enumerate(plan.ops):
        for name in op.reads:
            readers.setdefault(tensors.owner(name)[0].name, []).append(index)
    return {name: tuple(ops) for name, ops in readers.items()}


def as_bytes(array: "np.ndarray[tuple[int, ...], np.dtype[np.generic]]") -> Bytes:
    """The flat bytes of an array."""
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8)
