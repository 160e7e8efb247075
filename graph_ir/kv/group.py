"""One group of KV heads as the functions that execute it see it."""

from dataclasses import dataclass

import onnx_ir as ir

from graph_ir.decoder.decoder import Attention
from graph_ir.kv.layout import HeadGroup


@dataclass(frozen=True, slots=True)
class GroupInputs:
    """What a function gets for one group.

    Attributes:
        read: slots of the entries that are written, the compensation's first; None where nothing
            is read before it is written.
        write: where ScatterND writes them.
        bias: see `graph_ir.kv.slots.Places`.
        fold: likewise.
        valid: likewise.
        alibi: likewise.
        states: in the order of `group_states`.
    """

    read: ir.Value | None
    write: ir.Value
    bias: ir.Value
    fold: ir.Value | None
    valid: ir.Value | None
    alibi: ir.Value | None
    states: tuple[ir.Value, ...]

    def told(self) -> list[ir.Value]:
        """All that is given and no state, in order."""
        given = (self.read, self.write, self.bias, self.fold, self.valid, self.alibi)
        return [value for value in given if value is not None]


@dataclass(frozen=True, slots=True)
class GroupShape:
    """Extents of one group.

    Attributes:
        attention: that it belongs to.
        kept: what its heads keep.
        rows: new positions.
        slots: of its caches.
    """

    attention: Attention
    kept: HeadGroup
    rows: int
    slots: int

    @property
    def heads(self) -> int:
        """Number of KV heads."""
        return len(self.kept.heads)

    @property
    def queries(self) -> int:
        """Query heads of each KV head."""
        return self.attention.query_heads // self.attention.kv_heads
