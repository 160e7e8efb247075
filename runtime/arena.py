"""One real buffer per tier, and what a plan's addresses mean in it.

Plans count bytes in execution types (fp16: 2 bytes an element), while the host computes in the
model's own types (fp32: 4). The arena is therefore dilated by one integer, `scale`: planned byte
`o` is the `scale` host bytes from `scale * o`. Two planned regions overlap exactly where their
host regions do. A tensor fills the front of its dilated region.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from accelerator_sim.plan import Plan, PlanTier, Residence
from graph_ir.errors import InputError
from graph_ir.text import quoted

POISON = 0xFF  # NaN in every floating type, -1 in every signed one.
_PAGE_BYTES = 4096

Bytes = NDArray[np.uint8]


class PlanViolationError(InputError):
    """The plan cannot be executed as it stands: an op would touch memory that is not its own."""


@dataclass(frozen=True, slots=True)
class Region:
    """Host bytes of a tensor, or of a part of it, in one tier.

    Attributes:
        tier: name.
        mode: `shared`, `replicated` or `partitioned`.
        offset: first host byte of the tensor's memory, on every core.
        share_bytes: partitioned: host bytes per core; else the host bytes of the whole memory.
        begin: first host byte of the part, counted in the tensor's flat bytes.
        size_bytes: of the part.
    """

    tier: str
    mode: str
    offset: int
    share_bytes: int
    begin: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Arena:
    """The memories.

    Attributes:
        scale: host bytes per planned byte.
        tiers_CB: bytes [cores, used height] by name of the tier.
    """

    scale: int
    tiers_CB: Mapping[str, Bytes]

    @property
    def host_bytes(self) -> int:
        """Bytes of all buffers."""
        return sum(buffer_CB.size for buffer_CB in self.tiers_CB.values())

    def view(self, region: Region, core: int) -> Bytes | None:
        """The bytes themselves where they lie together on one core, else None."""
        if region.mode == "partitioned":
            return None
        buffer_CB = self.tiers_CB[region.tier]
        begin = region.offset + region.begin
        view_B: Bytes = buffer_CB[core % len(buffer_CB), begin : begin + region.size_bytes]
        return view_B

    def read(self, region: Region, core: int = 0) -> Bytes:
        """A copy of the bytes, gathered from all cores where they are partitioned."""
        view = self.view(region, core)
        if view is not None:
            return view.copy()
        shares_CB = self._memory(region)
        # Only the cores that hold some of the part: a copy of the whole would be quadratic.
        first = region.begin // region.share_bytes if region.share_bytes else 0
        end = region.begin + region.size_bytes
        last = -(-end // region.share_bytes) if region.share_bytes else 0
        flat_B = shares_CB[first:last].reshape(-1)
        skip = region.begin - first * region.share_bytes
        return flat_B[skip : skip + region.size_bytes].copy()

    def write(self, region: Region, data_B: Bytes) -> None:
        """Write to every core that holds the bytes.

        Args:
            region: destination.
            data_B: its `size_bytes` bytes.
        """
        if region.mode != "partitioned":
            begin = region.offset + region.begin
            self.tiers_CB[region.tier][:, begin : begin + region.size_bytes] = data_B
            return
        shares_CB = self._memory(region)
        done = 0
        while done < region.size_bytes:
            core, byte = divmod(region.begin + done, region.share_bytes)
            size = min(region.share_bytes - byte, region.size_bytes - done)
            shares_CB[core, byte : byte + size] = data_B[done : done + size]
            done += size

    def poison(self, residence: Residence, size_bytes: int) -> None:
        """Overwrite the memory of a tensor of planned size `size_bytes` on every core."""
        buffer_CB = self.tiers_CB[residence.tier]
        share = share_bytes(size_bytes, residence.mode, len(buffer_CB))
        begin = self.scale * residence.offset
        buffer_CB[:, begin : begin + self.scale * share] = POISON

    def flip(self, tier: str, offset: int) -> None:
        """Invert all bits of one planned byte on every core."""
        if tier not in self.tiers_CB:
            raise InputError(f"flip: no tier {quoted(tier)} in the plan")
        begin, end = self.scale * offset, self.scale * (offset + 1)
        if not 0 <= begin < end <= self.tiers_CB[tier].shape[1]:
            raise InputError(f"flip: byte {offset} of {tier} is not used by the plan")
        self.tiers_CB[tier][:, begin:end] ^= 0xFF

    def _memory(self, region: Region) -> Bytes:
        end = region.offset + region.share_bytes
        return self.tiers_CB[region.tier][:, region.offset : end]


def share_bytes(size_bytes: int, mode: str, cores: int) -> int:
    """Planned bytes per core."""
    return -(-size_bytes // cores) if mode == "partitioned" else size_bytes


def make_arena(plan: Plan, scale: int, limit_bytes: int | None = None) -> Arena:
    """Allocate every tier up to the plan's highest used byte, filled with poison.

    Args:
        plan: whose addresses to serve.
        scale: host bytes per planned byte.
        limit_bytes: most to allocate; None is the machine's memory.

    Raises:
        PlanViolationError: an address is outside its tier.
        InputError: the buffers together would be larger than the limit.
    """
    tiers = {tier.name: tier for tier in plan.tiers}
    height = dict.fromkeys(tiers, 0)
    for tensor in plan.tensors:
        for residence in tensor.residences:
            end = _residence_end(tiers, residence, tensor.size_bytes, tensor.name)
            height[residence.tier] = max(height[residence.tier], end)
    for copy in plan.copies:
        source = Residence(copy.from_tier, "shared", copy.from_offset, 0, 0)
        target = Residence(copy.to_tier, copy.mode, copy.to_offset, 0, 0)
        for place in (source, target):
            end = _residence_end(tiers, place, copy.size_bytes, f"copy of {copy.tensor}")
            height[place.tier] = max(height[place.tier], end)
    total = sum(tier.cores * _stride(height[tier.name] * scale) for tier in plan.tiers)
    limit = limit_bytes if limit_bytes is not None else _machine_bytes()
    if total > limit:
        raise InputError(
            f"checking the plan needs {total} bytes of memory, but at most {limit} may be used"
        )
    return Arena(
        scale,
        {tier.name: _allocate(tier.cores, height[tier.name] * scale) for tier in plan.tiers},
    )


def _residence_end(
    tiers: Mapping[str, PlanTier], place: Residence, size_bytes: int, what: str
) -> int:
    tier = tiers.get(place.tier)
    if tier is None:
        raise PlanViolationError(f"{what}: the plan has no tier {quoted(place.tier)}")
    if tier.cores < 1 or place.offset < 0 or size_bytes < 0:
        raise PlanViolationError(f"{what}: negative address or size in {place.tier}")
    end = place.offset + share_bytes(size_bytes, place.mode, tier.cores)
    if end > tier.capacity_bytes:
        raise PlanViolationError(
            f"{what}: ends at byte {end} of {place.tier}, which has {tier.capacity_bytes}"
        )
    return end


def _allocate(cores: int, height_bytes: int) -> Bytes:
    """Poisoned bytes [cores, height]; every core's memory begins on a page."""
    if height_bytes == 0:
        # However many cores the plan states: nothing is kept there.
        return np.empty((1, 0), np.uint8)
    stride = _stride(height_bytes)
    raw_B = np.empty(cores * stride + _PAGE_BYTES, np.uint8)
    skip = -raw_B.ctypes.data % _PAGE_BYTES
    buffer_CB = raw_B[skip : skip + cores * stride].reshape(cores, stride)[:, :height_bytes]
    buffer_CB[:] = POISON
    return buffer_CB


def _stride(height_bytes: int) -> int:
    """Bytes from one core's memory to the next one's."""
    return -(-height_bytes // _PAGE_BYTES) * _PAGE_BYTES


def _machine_bytes() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
