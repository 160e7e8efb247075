"""The part of a tensor's dilated memory that the host does not fill, kept under watch.

In a dilated arena a tensor whose execution type is as wide as its host type (or which is scratch,
and has no host value at all) leaves the end of its planned memory unused. Something laid over that
end would pass unseen, so it holds a pattern of the tensor's own, checked whenever it is read.
"""

from collections.abc import Mapping

import numpy as np

from accelerator_sim.plan import IMAGE_TENSOR, STAGING_TENSOR, Plan, Residence
from graph_ir.text import quoted
from runtime.arena import Arena, Bytes, PlanViolationError, Region
from runtime.host_types import HostType
from runtime.tensor_map import TensorMap

# A prime below the poison's value: neighbours in the plan differ, and none equals poison.
_PATTERNS = 251


class Guards:
    """Writes and checks the patterns."""

    def __init__(
        self, plan: Plan, types: Mapping[str, HostType], tensors: TensorMap, arena: Arena
    ) -> None:
        self._tensors = tensors
        self._arena = arena
        self._owners = {tensor.name: tensor for tensor in plan.tensors}
        self._pattern = {
            tensor.name: 1 + index % _PATTERNS for index, tensor in enumerate(plan.tensors)
        }
        # Host bytes that values fill, aliases inside the owner's memory included.
        self._filled = dict.fromkeys(self._owners, 0)
        for tensor in plan.tensors:
            if tensor.name in types:
                owner, begin = tensors.owner(tensor.name)
                end = begin + types[tensor.name].size_bytes
                self._filled[owner.name] = max(self._filled[owner.name], end)

    def guarded(self, name: str, data_B: Bytes) -> Bytes:
        """All host bytes of the memory that `name` owns: its data, then its pattern."""
        size = self._arena.scale * self._owners[name].size_bytes
        memory_B = np.full(size, self._pattern[name], np.uint8)
        memory_B[: data_B.size] = data_B
        return memory_B

    def write(self, name: str, residence: Residence) -> None:
        """Write the pattern of a tensor that is born."""
        if name in (STAGING_TENSOR, IMAGE_TENSOR):
            return
        tail = self._tail(name, self._tensors.place(self._owners[name], residence))
        if tail.size_bytes > 0:
            self._arena.write(tail, np.full(tail.size_bytes, self._pattern[name], np.uint8))

    def check(self, name: str, op: int, where: str) -> None:
        """Compare the pattern behind the memory of `name`, as core `op` modulo cores sees it.

        Raises:
            PlanViolationError: something else was written there.
        """
        owner, _ = self._tensors.owner(name)
        tail = self._tail(owner.name, self._tensors.memory(owner.name, op))
        if tail.size_bytes > 0:
            view_B = self._arena.view(tail, op)
            self._compare(owner.name, self._arena.read(tail) if view_B is None else view_B, where)

    def check_streamed(self, name: str, memory_B: Bytes, where: str) -> None:
        """Compare the pattern at the end of memory that came through the ring.

        Raises:
            PlanViolationError: something else was written there.
        """
        self._compare(name, memory_B[self._filled[name] :], where)

    def _tail(self, name: str, memory: Region) -> Region:
        filled = min(self._filled[name], memory.size_bytes)
        return Region(
            memory.tier,
            memory.mode,
            memory.offset,
            memory.share_bytes,
            filled,
            memory.size_bytes - filled,
        )

    def _compare(self, name: str, tail_B: Bytes, where: str) -> None:
        if not (tail_B == self._pattern[name]).all():
            raise PlanViolationError(
                f"{where}: the memory of tensor {quoted(name)} was overwritten while it is live: "
                "something else lies over its end"
            )
