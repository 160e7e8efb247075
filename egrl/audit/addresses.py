"""Addresses: checking theirs pair by pair, and packing ours with first fit."""

from collections.abc import Sequence

from egrl.audit.cost import CostTable
from egrl.audit.plan import IndexedPlan
from egrl.audit.result import AddressFault

MAX_FAULTS = 20


def check_addresses(table: CostTable, plan: IndexedPlan) -> tuple[list[AddressFault], int]:
    """Checks the offsets that a plan gives; tensors without one are passed over.

    Returns:
        The first `MAX_FAULTS` faults (misaligned and out of range by tensor, then overlaps), and
        how many there are in all.
    """
    faults: list[AddressFault] = []
    placed: list[tuple[int, int, int, int]] = []
    count = 0
    for tensor, (tier, offset) in enumerate(zip(plan.homes, plan.offsets, strict=True)):
        if offset is None:
            continue
        name = table.tensor_names_T[tensor]
        size = table.size_bytes_T[tensor]
        tier_name = table.tier_names_M[tier]
        alignment = table.problem.tensors[tensor].alignment_bytes
        capacity = table.capacity_bytes_M[tier]
        if offset % alignment:
            count += 1
            text = f"{name!r} at {offset} in {tier_name!r}, not a multiple of {alignment}"
            faults.append(AddressFault("misaligned", [name], tier_name, text))
        if capacity is not None and offset + size > capacity:
            count += 1
            text = f"{name!r} ends at {offset + size} in {tier_name!r} of {capacity} bytes"
            faults.append(AddressFault("out of range", [name], tier_name, text))
        if size > 0:
            placed.append((tier, offset, offset + size, tensor))
    placed.sort()
    open_spans: list[tuple[int, int, int, int]] = []
    for tier, offset, end, tensor in placed:
        open_spans = [span for span in open_spans if span[0] == tier and span[2] > offset]
        for _, _, other_end, other in open_spans:
            start_op = max(table.start_T[tensor], table.start_T[other])
            end_op = min(table.end_T[tensor], table.end_T[other])
            if start_op >= end_op:
                continue
            count += 1
            if len(faults) < MAX_FAULTS:
                names = [table.tensor_names_T[other], table.tensor_names_T[tensor]]
                text = (
                    f"{names[0]!r} and {names[1]!r} share bytes [{offset}, {min(end, other_end)}) "
                    f"of {table.tier_names_M[tier]!r} during ops [{start_op}, {end_op})"
                )
                faults.append(AddressFault("overlap", names, table.tier_names_M[tier], text))
        open_spans.append((tier, offset, end, tensor))
    return faults[:MAX_FAULTS], count


def pack(table: CostTable, homes: Sequence[int]) -> tuple[int, ...] | None:
    """Offsets for a plan by first fit, largest tensor first, or None where that does not fit.

    A None says nothing about better allocators.
    """
    order = sorted(range(len(homes)), key=lambda t: (-table.size_bytes_T[t], table.start_T[t], t))
    placed: list[list[tuple[int, int, int, int]]] = [[] for _ in table.tier_names_M]
    offsets = [0] * len(homes)
    for tensor in order:
        tier = homes[tensor]
        size = table.size_bytes_T[tensor]
        alignment = table.problem.tensors[tensor].alignment_bytes
        start, end = table.start_T[tensor], table.end_T[tensor]
        offset = 0
        for low, high, other_start, other_end in sorted(placed[tier]):
            if other_start >= end or other_end <= start:
                continue
            if low - offset >= size:
                break
            offset = max(offset, -(-high // alignment) * alignment)
        capacity = table.capacity_bytes_M[tier]
        if capacity is not None and offset + size > capacity:
            return None
        if size > 0:
            placed[tier].append((offset, offset + size, start, end))
        offsets[tensor] = offset
    return tuple(offsets)
