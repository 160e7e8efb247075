"""Bytes of caches, and the options that fit into a share of them."""

import math
from collections.abc import Callable

from graph_ir.decoder.decoder import Attention, Decoder
from graph_ir.errors import InputError
from graph_ir.kv.layout import HeadGroup, KvLayout
from graph_ir.kv.operator import group_states

_FLOAT16_BYTES = 2


def group_bytes(attention: Attention, group: HeadGroup, slots: int) -> int:
    """Bytes of a group's caches, scales included."""
    return sum(
        math.prod(state.shape) * state.data_type.bitwidth // 8
        for state in group_states(attention, group, slots)
    )


def layout_bytes(decoder: Decoder, layout: KvLayout) -> int:
    """Bytes of all caches, scales and compensation slots included."""
    return sum(
        group_bytes(attention, group, group.slots(layout.context))
        for attention, groups in zip(decoder.layers, layout.layers, strict=True)
        for group in groups
    )


def full_bytes(decoder: Decoder, context: int) -> int:
    """Bytes of caches that keep everything as float16: what shares are shares of."""
    return sum(
        layer.kv_heads * context * (layer.head_width + layer.value_width) * _FLOAT16_BYTES
        for layer in decoder.layers
    )


def layout_share(decoder: Decoder, layout: KvLayout) -> float:
    """Bytes of all caches as a share of the full float16 ones."""
    return layout_bytes(decoder, layout) / full_bytes(decoder, layout.context)


def check_budget(budget: float) -> None:
    """Checks a share of the full float16 bytes; 0 means that there is no budget.

    Raises:
        InputError: it is none.
    """
    if not 0 <= budget <= 1:
        raise InputError(f"kv-budget: expected a share of the full caches, 0 to 1, got {budget:g}")


def largest_window(
    decoder: Decoder, context: int, budget: float, make: Callable[[int], KvLayout]
) -> KvLayout | None:
    """The layout with the largest window that a budget has room for; None where it has for none.

    Args:
        decoder: whose caches they are.
        context: positions that a sequence may have.
        budget: share of the full float16 bytes.
        make: layout for a window; wider windows take no fewer bytes.
    """
    low, high = 0, context
    while low < high:
        middle = (low + high + 1) // 2
        if layout_share(decoder, make(middle)) <= budget:
            low = middle
        else:
            high = middle - 1
    return make(low) if low else None
