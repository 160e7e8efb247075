"""An attention of a source: where it reads and writes."""

from dataclasses import dataclass

import onnx_ir as ir

from graph_ir.decoder.cache_updates import Cache


@dataclass(frozen=True, slots=True)
class Site:
    """An attention in the source.

    Attributes:
        form: what it is written as.
        node: whose first output is the attention's.
        query: as the scores' product reads it, a scalar factor taken off.
        key: of the call's rows, before they go into the cache.
        value: likewise.
        key_cache: None where nothing is cached.
        value_cache: likewise.
        query_heads: where the node says it, else 0.
        kv_heads: likewise.
    """

    form: str
    node: ir.Node
    query: ir.Value
    key: ir.Value
    value: ir.Value
    key_cache: Cache | None
    value_cache: Cache | None
    query_heads: int = 0
    kv_heads: int = 0
