"""Finds the sliding window of an attention from what it sees.

Suffixes: H query heads, R rows, T positions, K KV heads, D width of queries and keys, V of values.
"""

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from graph_ir.decoder.region import Region
from graph_ir.errors import InputError

F64 = NDArray[np.float64]

# Floats of one probe at most: keys and values of some hundred megabytes.
_MAXIMUM_FLOATS = 1 << 25
_SMALLEST = 3


def near_window(weights_HRT: F64, where: str) -> int:
    """The window where it is shorter than the positions of a probe, else 0.

    Args:
        weights_HRT: of the last rows, for products of zero.
        where: for messages.

    Raises:
        InputError: what is seen is no window that ends at the row itself.
    """
    rows, length = weights_HRT.shape[1:]
    seen_HRT = weights_HRT > 0
    if (seen_HRT != seen_HRT[:1]).any():
        raise InputError(f"{where}: its heads see different positions")
    windows = set()
    for row in range(rows):
        own = length - rows + row
        positions = np.flatnonzero(seen_HRT[0, row])
        if not len(positions) or positions[-1] != own:
            last = int(positions[-1]) if len(positions) else -1
            raise InputError(
                f"{where}: expected position {own} to see positions up to itself, it sees up to "
                f"{last}"
            )
        if len(positions) != own + 1 - positions[0]:
            raise InputError(f"{where}: position {own} does not see some positions in between")
        windows.add(len(positions) if positions[0] > 0 else 0)
    found = sorted(windows - {0})
    if len(found) > 1 or (found and 0 in windows and found[0] < length - rows + 1):
        raise InputError(f"{where}: rows see windows of different lengths")
    if found and found[0] < _SMALLEST:
        raise InputError(f"{where}: a window of {found[0]}; expected at least {_SMALLEST}")
    return found[0] if found else 0


def far_window(region: Region, where: str) -> int:
    """The window where it is longer, 0 where there is none.

    Nothing is known about how long it may be but the integers in the mask's arithmetic and the
    sides of its tables, so these are tried, as far as keys and values of such a length are no
    burden: a window that is longer still counts as none.

    Raises:
        InputError: as for `near_window`.
    """
    layouts = region.layouts
    floats = layouts.key.heads * (layouts.key.width + layouts.value.width)
    longest = min(_MAXIMUM_FLOATS // floats, region.room(1 << 30))
    hints = {hint + 2 for hint in _hints(region.graph) if hint + 2 <= longest}
    for length in sorted(hints, reverse=True):
        try:
            _seen(region, length, [length - 1])
        except InputError:
            continue  # longer than the tables of its mask
        return _window_within(region, length, where) if length > _SMALLEST else 0
    return 0


def _window_within(region: Region, length: int, where: str) -> int:
    first = _first_seen(region, length)
    if first == 0:
        return 0
    around = [max(0, first - 1), first]
    if _seen(region, length, around) != [False, True]:
        raise InputError(f"{where}: what it sees of {length} positions is no window")
    return length - first


def _hints(graph: ir.Graph) -> list[int]:
    """Numbers that may be a window."""
    hints: dict[int, None] = {}
    for value in graph.initializers.values():
        tensor = value.const_value
        if tensor is None:
            continue
        shape = [int(extent) for extent in tensor.shape.numpy()]
        if tensor.size == 1 and tensor.dtype.is_integer():
            hints.setdefault(abs(int(tensor.numpy().reshape(-1)[0])))
        elif len(shape) >= 2 and shape[-1] == shape[-2]:
            hints.setdefault(shape[-1] - 2)
    for node in graph:
        for attribute in node.attributes.values():
            if attribute.name == "local_window_size":
                hints.setdefault(abs(attribute.as_int()))
    return list(hints)


def _first_seen(region: Region, length: int) -> int:
    """The first position that the last one sees, taking for granted that it sees all later ones."""
    unseen, seen = -1, length - 1
    width = region.layouts.value.width
    while seen - unseen > 1:
        step = max(1, (seen - unseen) // (width + 1))
        tried = list(range(unseen + step, seen, step))[:width]
        for position, visible in zip(tried, _seen(region, length, tried), strict=True):
            if visible:
                seen = position
                break
            unseen = position
    return seen


def _seen(region: Region, length: int, positions: list[int]) -> list[bool]:
    """Whether the last position sees others, at most as many as a value is wide."""
    layouts = region.layouts
    query_HRD = np.zeros((layouts.query.heads, 1, layouts.query.width))
    key_KTD = np.zeros((layouts.key.heads, length, layouts.key.width), np.float32)
    value_KTV = np.zeros((layouts.value.heads, length, layouts.value.width), np.float32)
    for column, position in enumerate(positions):
        value_KTV[:, position, column] = 1.0
    output_HRV = region.attend(query_HRD, key_KTD, value_KTV)
    return [bool((output_HRV[:, 0, column] > 0).all()) for column in range(len(positions))]
