"""Attention with pruned caches in float64, token by token, by the definition.

Each KV head keeps positions. Nothing here knows slots or rings, and no code is shared with the
operators. Suffixes: N entries, D width of keys, E of values, Q query heads of a KV head.
"""

import functools
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from graph_ir.decoder.decoder import Attention
from graph_ir.kv.layout import HeadGroup

F64 = NDArray[np.float64]
Floats = NDArray[np.floating]
Store = Callable[[F64], F64]
StoreBits = Callable[..., F64]


class _HeadCache:
    """What one KV head has kept."""

    def __init__(self, kept: HeadGroup, widths: Sequence[int], store: Sequence[Store]) -> None:
        self.kept = kept
        self._store = store
        self._exact = 0
        self._positions = np.empty(0, np.int64)
        self._parts: list[F64] = [np.empty((0, width)) for width in widths]
        self._dropped = np.empty(0, np.int64)
        self._sums: list[F64] = [np.zeros(width) for width in widths]

    def add(self, position: int, *parts: Floats) -> None:
        """Takes the key and the value of a position in, as they are."""
        self._positions = np.append(self._positions, position)
        pairs = zip(self._parts, parts, strict=True)
        self._parts = [np.vstack([old, np.asarray(new, np.float64)]) for old, new in pairs]
        self._exact += 1

    def settle(self) -> None:
        """What was taken in as it is becomes what is stored of it."""
        for part, store in zip(self._parts, self._store, strict=True):
            for row in range(len(part) - self._exact, len(part)):
                part[row] = store(part[row])
        self._exact = 0

    def prune(self, newest: int) -> None:
        """Drops what is not kept once a position has been taken in."""
        kept = self.kept
        old = (self._positions >= kept.sinks) & (self._positions <= newest - kept.window)
        if not kept.window or not old.any():
            return
        pairs = zip(self._sums, self._parts, strict=True)
        self._sums = [total + part[old].sum(axis=0) for total, part in pairs]
        self._dropped = np.append(self._dropped, self._positions[old])
        self._positions = self._positions[~old]
        self._parts = [part[~old] for part in self._parts]

    def seen(
        self, query_QD: Floats, at: int, attention: Attention, slope_Q: F64
    ) -> tuple[F64, F64]:
        """Logits [Q, N] and values [N, E] of all that queries at a position see."""
        seen = self._positions <= at
        if attention.window:
            seen &= at - self._positions < attention.window
        keys_ND, values_NE = (part[seen] for part in self._parts)
        bias_QN = np.multiply.outer(slope_Q, self._positions[seen] - at)
        if self.kept.compensation and len(self._dropped):
            means = [total / len(self._dropped) for total in self._sums]
            keys_ND, values_NE = np.vstack([keys_ND, means[0]]), np.vstack([values_NE, means[1]])
            weight_QN = np.exp(np.multiply.outer(slope_Q, self._dropped - at))
            bias_QN = np.hstack([bias_QN, np.log(weight_QN.sum(axis=1, keepdims=True))])
        logits_QN = attention.scale * np.asarray(query_QD, np.float64) @ keys_ND.T
        if attention.softcap:
            logits_QN = attention.softcap * np.tanh(logits_QN / attention.softcap)
        return logits_QN + bias_QN, values_NE


class Twin:
    """One attention and its caches."""

    def __init__(
        self,
        attention: Attention,
        groups: Sequence[HeadGroup],
        sinks: Floats | None = None,
        stores: tuple[StoreBits | None, StoreBits | None] = (None, None),
    ) -> None:
        """Begins with empty caches.

        Args:
            attention: what the model computes.
            groups: what its heads keep.
            sinks: logits of learned sinks, one for each query head, or None.
            stores: what becomes of a key and of a value that is stored with so many `bits`;
                nothing where None.
        """
        self._attention, self._sinks = attention, sinks
        self._heads: dict[int, _HeadCache] = {}
        self.length = 0
        widths = (attention.head_width, attention.value_width)
        for group in groups:
            bits = (group.key_bits, group.value_bits)
            store = [
                np.asarray if how is None else functools.partial(how, bits=number)
                for how, number in zip(stores, bits, strict=True)
            ]
            for head in group.heads:
                self._heads[head] = _HeadCache(group, widths, store)

    def decode(self, query: Floats, key: Floats, value: Floats) -> F64:
        """One position, written before it attends.

        Args:
            query: [query heads, D].
            key: [KV heads, D].
            value: [KV heads, E].

        Returns:
            What the heads attended to, [query heads, E].
        """
        for head, cache in self._heads.items():
            cache.add(self.length, key[head], value[head])
            cache.settle()
            cache.prune(self.length)
        self.length += 1
        return self._attend(query, self.length - 1)

    def chunk(self, queries: Floats, keys: Floats, values: Floats) -> F64:
        """Several positions, which see all that was kept before them and one another."""
        first = self.length
        for row in range(len(queries)):
            for head, cache in self._heads.items():
                cache.add(first + row, keys[row][head], values[row][head])
        for cache in self._heads.values():
            if cache.kept.window == 0:  # written before it is read
                cache.settle()
        outputs = [self._attend(query, first + row) for row, query in enumerate(queries)]
        self.length += len(queries)
        for cache in self._heads.values():
            cache.settle()
            cache.prune(self.length - 1)
        return np.array(outputs)

    def _attend(self, query: Floats, at: int) -> F64:
        attention = self._attention
        each = attention.query_heads // attention.kv_heads
        slopes = np.array(attention.slopes or [0.0] * attention.query_heads)
        rows = []
        for head in range(attention.kv_heads):
            mine = slice(head * each, (head + 1) * each)
            logits, values = self._heads[head].seen(query[mine], at, attention, slopes[mine])
            top = logits.max(axis=1, keepdims=True)
            weights = np.exp(logits - top)
            total = weights.sum(axis=1, keepdims=True)
            if self._sinks is not None:
                total += np.exp(np.asarray(self._sinks[mine], np.float64)[:, None] - top)
            rows.append(weights @ values / total)
        return np.concatenate(rows)
