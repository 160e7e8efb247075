"""One group of KV heads as the functions that execute it see it.

Every form of attention has a frozen dataclass of values that it is told, computed once in a step
for all layers, and a function `attend`.
"""

from dataclasses import dataclass, fields, replace
from typing import TypeVar

import onnx_ir as ir

from graph_ir.decoder.decoder import Attention
from graph_ir.kv.layout import HeadGroup

FLOAT_BITS = 32


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

    @property
    def is_stored(self) -> bool:
        """Whether its caches have another type than the model computes with."""
        return min(self.kept.key_bits, self.kept.value_bits) < FLOAT_BITS


@dataclass(frozen=True, slots=True)
class Rows:
    """What a group gets of the new positions; B batch of 1, H KV heads, R rows.

    Attributes:
        query_BHMD: scaled; M query heads of a KV head outside, rows inside.
        key_BHRD: keys.
        value_BHRE: values.
        sinks: logits of learned sinks, one for each query head, or None.
    """

    query_BHMD: ir.Value
    key_BHRD: ir.Value
    value_BHRE: ir.Value
    sinks: ir.Value | None


@dataclass(frozen=True, slots=True)
class Told:
    """What a form is told; subclasses have fields that are values or None."""


T = TypeVar("T", bound=Told)


def given(told: Told) -> list[ir.Value]:
    """All values, in order."""
    values = [getattr(told, field.name) for field in fields(told)]
    return [value for value in values if isinstance(value, ir.Value)]


def renamed(told: T, prefix: str) -> T:
    """The inputs of a function in the places of a graph's values."""
    fresh = {
        field.name: ir.Value(name=prefix + field.name)
        for field in fields(told)
        if getattr(told, field.name) is not None
    }
    return replace(told, **fresh)
