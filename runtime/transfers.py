"""The plan's DMA schedule, executed byte by byte in the arena.

Every copy is made as early as the plan allows it (when its `after_op` begins, or when the copy
before it in its channel was made), and what an op takes from the staging ring is taken as late as
possible (when the op begins). So a ring slot that is given away too early is seen as wrong bytes.
"""

from collections import defaultdict
from collections.abc import Mapping

import numpy as np

from accelerator_sim.plan import Copy, Plan
from runtime.arena import POISON, Arena, Bytes, Region, share_bytes
from runtime.copy_schedule import CopySchedule, SteadyCopy
from runtime.tensor_map import TensorMap


class Transfers:
    """Executes loads before the first op, and steady copies op by op.

    Attributes:
        streamed_bytes: planned bytes that ops took from the ring so far.
    """

    def __init__(self, plan: Plan, tensors: TensorMap, arena: Arena) -> None:
        self._plan = plan
        self._tensors = tensors
        self._arena = arena
        self._cores = {tier.name: tier.cores for tier in plan.tiers}
        self._sizes = {tensor.name: tensor.size_bytes for tensor in plan.tensors}
        self._schedule = CopySchedule(plan, tensors, arena.scale)
        self._next = 0
        self._waiting: dict[int, list[SteadyCopy]] = defaultdict(list)
        self._taken: dict[str, Bytes] = {}
        self.streamed_bytes = 0

    @property
    def image_tensors(self) -> frozenset[str]:
        """Names of the tensors that are copied out of `@image`."""
        return frozenset(name for _, name in self._schedule.image_base)

    def load(self, weights: Mapping[str, Bytes]) -> None:
        """Write the outermost copies of the weights, then bring those inwards that live there.

        Args:
            weights: host bytes of the memories of `image_tensors`.
        """
        for (tier, name), base in self._schedule.image_base.items():
            if name in weights:
                size = weights[name].size
                image = Region(tier, "shared", self._arena.scale * base, size, 0, size)
                self._arena.write(image, weights[name])
        for copy in self._plan.copies:
            if copy.phase == "load":
                self._execute(copy)
        # The steady state begins with what the inference before has fetched for this one.
        count = len(self._plan.ops)
        for steady in self._schedule.steady:
            if steady.consumer is not None and steady.consumer >= count:
                self._execute(steady.copy)
                self._waiting[steady.consumer - count].append(steady)

    def begin_op(self, op: int) -> None:
        """Make the copies that may begin with this op, and take its slices from the ring."""
        self._taken = {}
        schedule = self._schedule.steady
        while self._next < len(schedule) and schedule[self._next].moment <= op:
            steady = schedule[self._next]
            self._next += 1
            if steady.consumer == op:
                # A late slice passes through the ring while its op runs, after the slices that
                # were there when the op began.
                self._take_waiting(op)
            self._execute(steady.copy)
            if steady.consumer == op:
                self._take(steady, op)
            elif steady.consumer is not None:
                self._waiting[steady.consumer].append(steady)
        self._take_waiting(op)

    def streamed(self, name: str) -> Bytes | None:
        """Host bytes of a tensor's memory as they came through the ring for the current op."""
        return self._taken.get(name)

    def _take_waiting(self, op: int) -> None:
        for steady in self._waiting.pop(op, ()):
            self._take(steady, op)

    def _take(self, steady: SteadyCopy, op: int) -> None:
        copy = steady.copy
        if copy.tensor not in self._taken:
            self._taken[copy.tensor] = self._before_slices(copy.tensor, op)
        whole_B = self._taken[copy.tensor]
        slice_B = self._arena.read(self._destination(copy))
        target_B = whole_B[steady.first_byte : steady.first_byte + slice_B.size]
        target_B[:] = slice_B[: target_B.size]
        self.streamed_bytes += copy.size_bytes

    def _before_slices(self, name: str, op: int) -> Bytes:
        """Poison: bytes that no slice brings are missing."""
        if (name, op) in self._schedule.doubtful:
            # Slices were counted for the op before: the home has the bytes that they brought.
            return self._arena.read(self._tensors.memory(name, op))
        return np.full(self._arena.scale * self._sizes[name], POISON, np.uint8)

    def _execute(self, copy: Copy) -> None:
        size = self._arena.scale * copy.size_bytes
        begin = self._arena.scale * copy.from_offset
        source = Region(copy.from_tier, "shared", begin, size, 0, size)
        self._arena.write(self._destination(copy), self._arena.read(source))

    def _destination(self, copy: Copy) -> Region:
        scale = self._arena.scale
        share = share_bytes(copy.size_bytes, copy.mode, self._cores[copy.to_tier])
        begin = scale * copy.to_offset
        size = scale * copy.size_bytes
        return Region(copy.to_tier, copy.mode, begin, scale * share, 0, size)
