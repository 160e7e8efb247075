"""What chooses which keys and values are kept: one method, one file.

A method is a frozen dataclass whose fields are its options on the command line.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from egrl.kv.probe import HeadProbe
from graph_ir.decoder.decoder import Decoder
from graph_ir.errors import InputError
from graph_ir.kv.layout import BITS, HeadGroup, KvLayout

DEFAULT_BITS = 32


@dataclass(frozen=True, slots=True)
class Kept:
    """What one KV head keeps; see `graph_ir.kv.layout.HeadGroup`."""

    window: int = 0
    sinks: int = 0
    compensation: bool = False


ALL = Kept()


@dataclass(frozen=True, slots=True)
class KvMethod(ABC):
    """Chooses what every KV head keeps.

    Attributes:
        name: on the command line.
        needs_probe: whether `layout` wants the heads' scores.
        needs_errors: whether it wants what windows cost the heads, too.
        needs_rotations: whether it wants how queries are rotated.
        bits: of stored keys and values: 32 float, 16 float16, 8 and 4 integers with scales.
        key_bits: of keys, where they have others; 0 for `bits`.
        value_bits: of values, likewise.
    """

    name: ClassVar[str]
    needs_probe: ClassVar[bool] = False
    needs_errors: ClassVar[bool] = False
    needs_rotations: ClassVar[bool] = False
    bits: int = DEFAULT_BITS
    key_bits: int = 0
    value_bits: int = 0

    def __post_init__(self) -> None:
        """Checks the options that all methods have.

        Raises:
            InputError: bits that no cache has.
        """
        for name, bits in (("bits", self.bits), ("key-bits", self.key), ("value-bits", self.value)):
            if bits not in BITS:
                raise InputError(f"{name}: expected one of {', '.join(map(str, BITS))}, got {bits}")

    @property
    def key(self) -> int:
        """Bits of a stored key."""
        return self.key_bits or self.bits

    @property
    def value(self) -> int:
        """Bits of a stored value."""
        return self.value_bits or self.bits

    @abstractmethod
    def layout(self, decoder: Decoder, context: int, probe: HeadProbe | None) -> KvLayout:
        """What is kept.

        Args:
            decoder: whose caches they are.
            context: positions that a sequence may have.
            probe: scores of its heads; None where the method needs none.

        Raises:
            InputError: the decoder has no such heads, or the options leave no room.
        """

    def grouped(self, decoder: Decoder, context: int, kept: Sequence[Sequence[Kept]]) -> KvLayout:
        """The layout of what every head of every layer keeps.

        Heads of a layer that keep the same share a group. A head whose sinks and window have room
        for the whole context keeps everything, which is the same and cheaper; one of a layer that
        itself sees a window only keeps no more than that.
        """
        layers = []
        for attention, heads in zip(decoder.layers, kept, strict=True):
            groups: dict[Kept, list[int]] = {}
            for head, wanted in enumerate(heads):
                seen = _seen(attention.window, wanted)
                pruned = seen.window > 0 and seen.sinks + seen.window < context
                groups.setdefault(seen if pruned else ALL, []).append(head)
            layers.append(tuple(self._group(members, same) for same, members in groups.items()))
        return KvLayout(context, tuple(layers))

    def _group(self, members: Sequence[int], same: Kept) -> HeadGroup:
        return HeadGroup(
            tuple(members), same.window, same.sinks, same.compensation, self.key, self.value
        )


def _seen(window: int, wanted: Kept) -> Kept:
    """What of it a layer that sees a window can make use of; 0 is no window."""
    if window == 0:
        return wanted
    return Kept(min(window, wanted.window or window))


def given_probe(method: KvMethod, probe: HeadProbe | None) -> HeadProbe:
    """The scores that a method needs.

    Raises:
        InputError: there are none.
    """
    if probe is None:
        raise InputError(f"{method.name}: expected the scores of a probe, got none")
    return probe


def check_window(window: int, sinks: int) -> None:
    """Checks the options of a method that keeps first and last positions.

    Raises:
        InputError: no window, or fewer than no sinks.
    """
    if window < 1:
        raise InputError(f"window: expected 1 or more positions, got {window}")
    if sinks < 0:
        raise InputError(f"sinks: expected 0 or more positions, got {sinks}")


def check_free_keys(decoder: Decoder, name: str) -> None:
    """Refuses attentions for a method that moves keys to slots that do not say where they stood.

    Raises:
        InputError: an attention with a sliding window, ALiBi or learned sinks.
    """
    for index, attention in enumerate(decoder.layers):
        if attention.window or attention.slopes or attention.sinks:
            raise InputError(
                f"{name}: attention {index}: expected no sliding window, ALiBi or learned sinks"
            )
