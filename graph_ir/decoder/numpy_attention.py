"""What `egrl::CausalAttention` computes, in numpy float64, to compare a source's attention with.

Suffixes: H query heads, K KV heads, R rows, T positions, D width of queries and keys, V of values.
"""

import numpy as np
from numpy.typing import NDArray

from graph_ir.decoder.decoder import Attention

F64 = NDArray[np.float64]


def causal_attention(
    attention: Attention, query_HRD: F64, key_KTD: F64, value_KTV: F64, sinks_H: F64 | None
) -> F64:
    """The output `[H, R, V]` for the last R of T positions."""
    heads, rows, _ = query_HRD.shape
    length = key_KTD.shape[1]
    group = heads // key_KTD.shape[0]
    key_HTD, value_HTV = key_KTD.repeat(group, axis=0), value_KTV.repeat(group, axis=0)
    logits_HRT = attention.scale * (query_HRD @ key_HTD.transpose(0, 2, 1))
    if attention.softcap:
        logits_HRT = attention.softcap * np.tanh(logits_HRT / attention.softcap)
    ahead_RT = np.arange(length) - np.arange(length - rows, length)[:, None]
    if attention.slopes:
        logits_HRT = logits_HRT + np.array(attention.slopes)[:, None, None] * ahead_RT
    seen_RT = ahead_RT <= 0
    if attention.window:
        seen_RT &= ahead_RT > -attention.window
    logits_HRT = np.where(seen_RT, logits_HRT, -np.inf)
    top_HR1 = logits_HRT.max(axis=-1, keepdims=True)
    if sinks_H is not None:
        top_HR1 = np.maximum(top_HR1, sinks_H[:, None, None])
    weights_HRT = np.exp(logits_HRT - top_HR1)
    total_HR1 = weights_HRT.sum(axis=-1, keepdims=True)
    if sinks_H is not None:
        total_HR1 = total_HR1 + np.exp(sinks_H[:, None, None] - top_HR1)
    output_HRV: F64 = weights_HRT / total_HR1 @ value_HTV
    return output_HRV
