"""Cached attention to caches that are stored in other types than the model computes with.

The means of what was dropped stay float: they change by less and less. They are states of their
own; the compensation slot of the caches lies idle.

Suffixes: as in `graph_ir.kv.standard`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from graph_ir.kv.group import GroupShape, Rows
from graph_ir.kv.standard import StandardTold, attend_to
from graph_ir.kv.storage import Storage
from graph_ir.kv.writing import Writer

_END = np.iinfo(np.int64).max


@dataclass(frozen=True, slots=True)
class _Cache:
    """Keys or values: how they are stored, the states, and the means."""

    storage: Storage
    parts: list[ir.Value]
    means: ir.Value | None


def attend_stored(
    writer: Writer,
    shape: GroupShape,
    rows: Rows,
    told: StandardTold,
    states: Sequence[ir.Value],
    *,
    fused: bool,
) -> tuple[ir.Value, list[ir.Value]]:
    """As `graph_ir.kv.standard.attend`; `read` and `write` leave out the compensation slot."""
    key, value = caches_of(shape, states)
    query = key.storage.rotated(writer, rows.query_BHMD)
    fresh = key.storage.rotated(writer, rows.key_BHRD)
    key_BHTD, next_key = _extended(writer, shape, key, fresh, told)
    fresh = value.storage.rotated(writer, rows.value_BHRE)
    value_BHTE, next_value = _extended(writer, shape, value, fresh, told)
    attended = attend_to(
        writer, shape, query, (key_BHTD, value_BHTE), rows.sinks, told, fused=fused
    )
    attended = value.storage.turned_back(writer, attended)
    return attended, in_order(next_key, next_value)


def storages(shape: GroupShape) -> tuple[Storage, Storage]:
    """How keys and values are stored."""
    attention, kept = shape.attention, shape.kept
    return (
        Storage(kept.key_bits, shape.heads, attention.head_width, is_key=True),
        Storage(kept.value_bits, shape.heads, attention.value_width, is_key=False),
    )


def caches_of(shape: GroupShape, states: Sequence[ir.Value]) -> tuple[_Cache, _Cache]:
    """Takes the states apart: entries, scales, means, each of keys first."""
    left = list(states)
    both = storages(shape)
    parts = [[left.pop(0)] for _ in both]
    for storage, own in zip(both, parts, strict=True):
        if storage.blocks:
            own.append(left.pop(0))
    means = [left.pop(0) if shape.kept.compensation else None for _ in both]
    key, value = (_Cache(*own) for own in zip(both, parts, means, strict=True))
    return key, value


def in_order(key: _Cache, value: _Cache) -> list[ir.Value]:
    """Puts the states back in their order."""
    parts = [key.parts[0], value.parts[0], *key.parts[1:], *value.parts[1:]]
    return parts + [cache.means for cache in (key, value) if cache.means is not None]


def _extended(
    writer: Writer, shape: GroupShape, cache: _Cache, new: ir.Value, told: StandardTold
) -> tuple[ir.Value, _Cache]:
    """What is attended to, and the next states."""
    if shape.rows > 1 and shape.kept.window:
        return _beside(writer, shape, cache, new, told)
    storage = cache.storage
    old_parts = None
    if told.read is not None:
        old_parts = [writer.gather(part, told.read, 2) for part in cache.parts]
    means = None
    if told.fold is not None and old_parts is not None and cache.means is not None:
        old = writer.concat([cache.means, storage.decoded(writer, old_parts)], 2)
        means = writer.op("MatMul", told.fold, old)
        # Passed on with them, the rows are written after the old entries were read.
        count = shape.rows + 1
        bounds = (writer.integers([number]) for number in (count, count + shape.rows, 2))
        new = writer.op("Slice", writer.concat([old, new], 2), *bounds)
    after = _written(writer, cache, new, old_parts, told)
    attended = storage.decoded(writer, after)
    if means is not None:
        attended = _with_means(writer, attended, means)
    return attended, _Cache(storage, after, means)


def _beside(
    writer: Writer, shape: GroupShape, cache: _Cache, new: ir.Value, told: StandardTold
) -> tuple[ir.Value, _Cache]:
    """A chunk attends to the caches as they were, and to its own rows as they are."""
    storage = cache.storage
    assert told.read is not None
    whole = storage.decoded(writer, cache.parts)
    if cache.means is not None:
        whole = _with_means(writer, whole, cache.means)
    attended = writer.concat([whole, new], 2)
    means = None
    if told.fold is not None and cache.means is not None:
        old = writer.concat([cache.means, writer.gather(attended, told.read, 2)], 2)
        means = writer.op("MatMul", told.fold, old)
    # Taken from what is attended to, the rows are written after all old entries were read.
    bounds = (shape.slots, shape.slots + shape.rows, 2)
    fresh = writer.op("Slice", attended, *(writer.integers([number]) for number in bounds))
    old_parts = [writer.gather(part, told.read, 2) for part in cache.parts]
    after = _written(writer, cache, fresh, old_parts, told)
    return attended, _Cache(storage, after, means)


def _written(
    writer: Writer,
    cache: _Cache,
    new: ir.Value,
    old_parts: Sequence[ir.Value] | None,
    told: StandardTold,
) -> list[ir.Value]:
    """The states with new rows in them, but for padding."""
    updates = cache.storage.encoded(writer, new)
    if told.valid is not None and old_parts is not None:
        updates = [
            writer.op("Where", told.valid, update, old)
            for update, old in zip(updates, old_parts, strict=True)
        ]
    return [
        writer.op("ScatterND", part, told.write, update)
        for part, update in zip(cache.parts, updates, strict=True)
    ]


def _with_means(writer: Writer, whole: ir.Value, means: ir.Value) -> ir.Value:
    """Entries with the means in the first slot."""
    bounds = (writer.integers([number]) for number in (1, _END, 2))
    return writer.concat([means, writer.op("Slice", whole, *bounds)], 2)
