"""A slow, readable float64 twin of `egrl::CausalAttention`."""

import numpy as np


def causal_attention(query, key, value, attention, sinks=None, start=0):
    """The attention of the rows from position `start` on to all rows of `key`.

    Args:
        query: `[1, query_heads, rows, head_width]`, of the last rows of `key`.
        key: `[1, kv_heads, start + rows, head_width]`.
        value: `[1, kv_heads, start + rows, value_width]`.
        attention: what the attention is.
        sinks: `[query_heads]` where it has learned sinks.
        start: position of the first query.
    """
    query, key, value = (array[0].astype(np.float64) for array in (query, key, value))
    heads, rows, _ = query.shape
    output = np.zeros((heads, rows, value.shape[-1]))
    for head in range(heads):
        source = head * key.shape[0] // heads
        for row in range(rows):
            p = start + row
            first = max(0, p - attention.window + 1) if attention.window else 0
            logits = key[source, first : p + 1] @ query[head, row] * attention.scale
            if attention.softcap:
                logits = attention.softcap * np.tanh(logits / attention.softcap)
            if attention.slopes:
                logits = logits + attention.slopes[head] * (np.arange(first, p + 1) - p)
            top = max(logits.max(), sinks[head]) if sinks is not None else logits.max()
            weights = np.exp(logits - top)
            total = weights.sum()
            if sinks is not None:
                total += np.exp(np.float64(sinks[head]) - top)
            output[head, row] = weights / total @ value[source, first : p + 1]
    return output[None]
