"""One attention as a decoder, as the benchmark of exactness has it."""

import numpy as np

from egrl.bench.kv.exactness_model import attention_decoder, draw_tables
from graph_ir.decoder.decoder import Attention

__all__ = ["Tables", "attention_decoder", "attention_of"]

Tables = draw_tables


def attention_of(
    query_heads=4,
    kv_heads=2,
    head_width=8,
    value_width=None,
    softcap=0.0,
    window=0,
    slopes=(),
    sinks=False,
):
    """An attention with the usual scale."""
    return Attention(
        node="attention",
        query_heads=query_heads,
        kv_heads=kv_heads,
        head_width=head_width,
        value_width=head_width if value_width is None else value_width,
        scale=float(np.float32(head_width**-0.5)),
        softcap=softcap,
        window=window,
        slopes=tuple(slopes),
        sinks=sinks,
    )
