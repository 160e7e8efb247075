"""The normal form of a decoder, whatever exporter it comes from.

A graph with two inputs and one output, in which `rows` is symbolic:

    input_ids  int64 [1, rows]
    positions  int64 [rows]          position of each token in its sequence
    -> logits  float [1, rows, vocabulary]

Every attention is one node `egrl::CausalAttention` and there are no caches: which keys and values
are kept, and where, is decided later (`graph_ir.kv`). The node's inputs are

    query  float [1, query_heads, rows, head_width]
    key    float [1, kv_heads, rows, head_width]
    value  float [1, kv_heads, rows, value_width]
    sinks  float [query_heads]       optional: logits of learned sinks, which take weight, no value

with queries and keys as they are multiplied (rotated, normalised), the scale not yet applied, and
its output is float [1, query_heads, rows, value_width]. Query head `h` reads KV head
`h * kv_heads // query_heads`. Its attributes are those of `Attention` below. The function that the
model carries for it attends within the given rows only, as a call from position 0 does.
"""

from dataclasses import dataclass

import onnx_ir as ir

DOMAIN = "egrl"
ATTENTION = "CausalAttention"

TOKENS = "input_ids"
POSITIONS = "positions"
LOGITS = "logits"
ROWS = "rows"


@dataclass(frozen=True, slots=True)
class Attention:
    """One attention of a decoder.

    Attributes:
        node: name of its `CausalAttention` node; attribute `layer` is its index.
        query_heads: number of query heads.
        kv_heads: number of key and value heads; divides `query_heads`.
        head_width: of queries and keys.
        value_width: of values.
        scale: of the products of queries and keys (attribute `scale`).
        softcap: `c * tanh(x / c)` of the scaled products, 0 for none (attribute `softcap`).
        window: positions that a query sees, its own included; 0 for all before it
            (attribute `window`).
        slopes: ALiBi: a query at p sees a key at t with `slope * (t - p)` added, one slope per
            query head; empty without (attribute `slopes`).
        sinks: whether it has learned sinks.
        form: what it was in the source, for people: `decomposed`, `Attention`, ...
    """

    node: str
    query_heads: int
    kv_heads: int
    head_width: int
    value_width: int
    scale: float
    softcap: float = 0.0
    window: int = 0
    slopes: tuple[float, ...] = ()
    sinks: bool = False
    form: str = ""


@dataclass(frozen=True, slots=True)
class Decoder:
    """A decoder in normal form.

    Attributes:
        model: the graph; whoever holds the decoder owns it.
        layers: its attentions in the order of execution.
        vocabulary: number of tokens.
        most_positions: what the model was built for where it says so (a table of learned
            positions, a rotation table); 0 where it sets no bound.
        source_path: file that it was read from.
        source_sha256: hex digest over that file and its external data.
    """

    model: ir.Model
    layers: tuple[Attention, ...]
    vocabulary: int
    most_positions: int
    source_path: str
    source_sha256: str
