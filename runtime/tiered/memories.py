"""The machine's memories: plain RAM, RAM behind a rate limiter, and a file behind one."""

import mmap
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from accelerator_sim.accelerator import Accelerator
from accelerator_sim.plan import Plan
from graph_ir.errors import InputError
from runtime.arena import Arena, Bytes, make_arena
from runtime.tiered.limiter import RateLimiter

FILE_TIER = "FILE"
"""A tier of this name is kept in a file and read and written through the operating system."""


@dataclass(frozen=True, slots=True)
class BackingFile:
    """A file and its mapping."""

    descriptor: int
    mapping: mmap.mmap


class Memories:
    """All memories of a plan, with their limiters; a context manager that gives them back.

    Attributes:
        arena: for addresses; a tier in a file is mapped.
        limiters: of every tier but the innermost.
    """

    def __init__(self, plan: Plan, accelerator: Accelerator, scale: int) -> None:
        """Allocate.

        Raises:
            InputError: the accelerator has more than one core, or the memory is not there.
        """
        if accelerator.core_count != 1:
            raise InputError(
                f"{accelerator.name}: the tiered machine has 1 core, got {accelerator.core_count}"
            )
        plain = make_arena(plan, scale)
        self._files: dict[str, BackingFile] = {}
        buffers: dict[str, Bytes] = dict(plain.tiers_CB)
        for name, buffer_CB in plain.tiers_CB.items():
            if name == FILE_TIER and buffer_CB.size:
                self._files[name] = _backing_file(buffer_CB.size)
                buffers[name] = np.frombuffer(self._files[name].mapping, np.uint8)[None, :]
        self.arena = Arena(scale, buffers)
        self.limiters: Mapping[str, RateLimiter] = {
            tier.name: RateLimiter(tier.read_bytes_per_s.value, tier.write_bytes_per_s.value)
            for tier in accelerator.tiers[:-1]
        }

    def read(self, tier: str, offset: int, target_B: Bytes) -> None:
        """Copy host bytes out of a memory, at the speed of the host."""
        if tier in self._files:
            done = 0
            while done < target_B.size:
                done += os.preadv(
                    self._files[tier].descriptor, [target_B[done:].data], offset + done
                )
        else:
            target_B[:] = self.arena.tiers_CB[tier][0, offset : offset + target_B.size]

    def write(self, tier: str, offset: int, source_B: Bytes) -> None:
        """Copy host bytes into a memory, at the speed of the host."""
        if tier in self._files:
            done = 0
            while done < source_B.size:
                done += os.pwritev(
                    self._files[tier].descriptor, [source_B[done:].data], offset + done
                )
        else:
            self.arena.tiers_CB[tier][0, offset : offset + source_B.size] = source_B

    def close(self) -> None:
        """Give the files back; views into them keep their mappings until they are dropped."""
        for backing in self._files.values():
            os.close(backing.descriptor)
        self._files.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _backing_file(size_bytes: int) -> BackingFile:
    """An unnamed file of so many zero bytes; the operating system frees it with the last user."""
    with tempfile.TemporaryFile() as file:
        file.truncate(size_bytes)
        return BackingFile(os.dup(file.fileno()), mmap.mmap(file.fileno(), size_bytes))


def aligned(size_bytes: int) -> NDArray[np.uint8]:
    """Touched bytes that begin on a cache line."""
    raw_B = np.zeros(size_bytes + 64, np.uint8)
    skip = -raw_B.ctypes.data % 64
    return raw_B[skip : skip + size_bytes]
