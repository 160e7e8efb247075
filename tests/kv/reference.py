"""Attention with pruned caches in float64, token by token, by the definition.

Each KV head keeps a dictionary of positions. Nothing here knows slots or rings.
"""

import numpy as np


class HeadCache:
    """What one KV head has kept.

    Args:
        window: last positions kept, 0 for all.
        sinks: first positions kept.
        compensation: whether the dropped leave their mean.
        widths: of a key and a value.
    """

    def __init__(self, window, sinks, compensation, widths):
        self.window, self.sinks, self.compensation = window, sinks, compensation
        self.positions = np.empty(0, int)
        self.parts = [np.empty((0, width)) for width in widths]
        self.dropped = np.empty(0, int)
        self.sums = [np.zeros(width) for width in widths]

    def add(self, position, *parts):
        self.positions = np.append(self.positions, position)
        self.parts = [np.vstack([old, new]) for old, new in zip(self.parts, parts, strict=True)]

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
    """

    def __init__(self, attention, groups, sinks=None):
        self.attention, self.sinks = attention, sinks
        self.heads = [None] * attention.kv_heads
        for group in groups:
            for head in group.heads:
                widths = (attention.head_width, attention.value_width)
                self.heads[head] = HeadCache(group.window, group.sinks, group.compensation, widths)
        self.length = 0

    def decode(self, query, key, value):
        """One row: query [query_heads, D], key [kv_heads, D], value [kv_heads, E]."""
        at = self.length
        for head, cache in enumerate(self.heads):
            cache.add(at, key[head], value[head])
            cache.prune(at)
        self.length += 1
        return self._attend(query, at)

    def chunk(self, queries, keys, values):
        """Several rows, which see all that was kept before them and one another."""
        first = self.length
        outputs = []
        for row, query in enumerate(queries):
            for head, cache in enumerate(self.heads):
                cache.add(first + row, keys[row][head], values[row][head])
            outputs.append(self._attend(query, first + row))
        self.length += len(queries)
        for cache in self.heads:
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
