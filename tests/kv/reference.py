"""Attention with pruned caches in float64, token by token, by the definition.

Each KV head keeps a dictionary of positions. Nothing here knows slots or rings.
"""

import functools

import numpy as np


class HeadCache:
    """What one KV head has kept.

    Args:
        window: last positions kept, 0 for all.
        sinks: first positions kept.
        compensation: whether the dropped leave their mean.
        widths: of a key and a value.
        store: what becomes of a key and of a value when they are stored.
    """

    def __init__(self, window, sinks, compensation, widths, store):
        self.store, self.exact = store, 0
        self.window, self.sinks, self.compensation = window, sinks, compensation
        self.positions = np.empty(0, int)
        self.parts = [np.empty((0, width)) for width in widths]
        self.dropped = np.empty(0, int)
        self.sums = [np.zeros(width) for width in widths]

    def add(self, position, *parts):
        self.positions = np.append(self.positions, position)
        self.parts = [np.vstack([old, new]) for old, new in zip(self.parts, parts, strict=True)]
        self.exact += 1

    def settle(self):
        """Entries that were exact so far are stored."""
        for part, store in zip(self.parts, self.store, strict=True):
            for row in range(len(part) - self.exact, len(part)):
                part[row] = store(part[row])
        self.exact = 0

    def prune(self, newest):
        old = (self.positions >= self.sinks) & (self.positions <= newest - self.window)
        if not self.window or not old.any():
            return
        self.sums = [
            s + part[old].sum(axis=0) for s, part in zip(self.sums, self.parts, strict=True)
        ]
        self.dropped = np.append(self.dropped, self.positions[old])
        self.positions = self.positions[~old]
        self.parts = [part[~old] for part in self.parts]

    def seen(self, queries, at, attention, slopes):
        """Logits [queries, entries] and values [entries, E] of all that queries see here."""
        seen = self.positions <= at
        if attention.window:
            seen &= at - self.positions < attention.window
        keys, values = (part[seen] for part in self.parts)
        bias = np.multiply.outer(slopes, self.positions[seen] - at)
        if self.compensation and len(self.dropped):
            keys, values = (
                np.vstack([part, total / len(self.dropped)])
                for part, total in zip((keys, values), self.sums, strict=True)
            )
            weights = np.exp(np.multiply.outer(slopes, self.dropped - at))
            bias = np.hstack([bias, np.log(weights.sum(axis=1, keepdims=True))])
        logits = attention.scale * np.float64(queries) @ keys.T
        if attention.softcap:
            logits = attention.softcap * np.tanh(logits / attention.softcap)
        return logits + bias, values


class Twin:
    """One attention.

    Args:
        attention: what the model computes.
        groups: what its heads keep.
        sinks: logits of learned sinks [query_heads], or None.
        stores: for keys and for values, what becomes of one that is stored with so many bits.
    """

    def __init__(self, attention, groups, sinks=None, stores=(None, None)):
        self.attention, self.sinks = attention, sinks
        self.heads = [None] * attention.kv_heads
        for group in groups:
            for head in group.heads:
                widths = (attention.head_width, attention.value_width)
                store = [
                    functools.partial(how, bits=bits) if how else np.float64
                    for how, bits in zip(stores, (group.key_bits, group.value_bits), strict=True)
                ]
                self.heads[head] = HeadCache(
                    group.window, group.sinks, group.compensation, widths, store
                )
        self.length = 0

    def decode(self, query, key, value):
        """One row: query [query_heads, D], key [kv_heads, D], value [kv_heads, E]."""
        at = self.length
        for head, cache in enumerate(self.heads):
            cache.add(at, key[head], value[head])
            cache.settle()
            cache.prune(at)
        self.length += 1
        return self._attend(query, at)

    def chunk(self, queries, keys, values):
        """Several rows, which see all that was kept before them and one another."""
        first = self.length
        outputs = []
        for row in range(len(queries)):
            for head, cache in enumerate(self.heads):
                cache.add(first + row, keys[row][head], values[row][head])
        for cache in self.heads:
            if cache.window == 0:  # written before it is read
                cache.settle()
        for row, query in enumerate(queries):
            outputs.append(self._attend(query, first + row))
        self.length += len(queries)
        for cache in self.heads:
            cache.settle()
            cache.prune(self.length - 1)
        return np.array(outputs)

    def _attend(self, query, at):
        attention = self.attention
        each = attention.query_heads // attention.kv_heads
        slopes = np.array(attention.slopes or [0.0] * attention.query_heads)
        rows = []
        for head, cache in enumerate(self.heads):
            mine = slice(head * each, (head + 1) * each)
            logits, values = cache.seen(query[mine], at, attention, slopes[mine])
            top = logits.max(axis=1, keepdims=True)
            weights = np.exp(logits - top)
            total = weights.sum(axis=1, keepdims=True)
            if self.sinks is not None:
                total += np.exp(np.float64(self.sinks[mine])[:, None] - top)
            rows.append(weights @ values / total)
        return np.concatenate(rows)
