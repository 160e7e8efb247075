"""Which keys and values each KV head keeps: the result of every KV method, read by the graphs."""

from dataclasses import dataclass

from graph_ir.errors import InputError

BITS = (4, 8, 16, 32)


@dataclass(frozen=True, slots=True)
class HeadGroup:
    """KV heads of one attention that keep the same positions, in one pair of caches.

    A group keeps either everything (`window` 0) or its first `sinks` positions, the last `window`
    positions in a ring, and, with `compensation`, one slot with the means of all dropped keys and
    values whose logit has the logarithm of their number added (RazorAttention, section 3).

    Attributes:
        heads: indices of its KV heads, rising.
        window: last positions kept; 0 for all.
        sinks: first positions kept; 0 where the window is 0.
        compensation: whether what is dropped leaves its mean behind.
        key_bits: of a stored key: 32 float, 16 float16, 8 and 4 integers with scales per channel.
        value_bits: of a stored value, likewise.
    """

    heads: tuple[int, ...]
    window: int = 0
    sinks: int = 0
    compensation: bool = False
    key_bits: int = 32
    value_bits: int = 32

    def __post_init__(self) -> None:
        """Checks what no graph could be made of.

        Raises:
            InputError: no heads, heads out of order, sinks or compensation without a window.
        """
        if not self.heads or list(self.heads) != sorted(set(self.heads)) or self.heads[0] < 0:
            raise InputError(f"KV heads: expected rising indices, got {list(self.heads)}")
        if self.window < 0 or self.sinks < 0:
            raise InputError(f"window and sinks: expected 0 or more, got {self}")
        if self.window == 0 and (self.sinks or self.compensation):
            raise InputError(f"sinks and compensation: expected a window beside them, got {self}")
        if self.key_bits not in BITS or self.value_bits not in BITS:
            raise InputError(f"bits of keys and values: expected one of {BITS}, got {self}")

    def slots(self, context: int) -> int:
        """Positions that its caches have room for, the compensation slot included."""
        if self.window == 0:
            return context
        return int(self.compensation) + self.sinks + self.window


@dataclass(frozen=True, slots=True)
class KvLayout:
    """What a whole decoder keeps.

    Attributes:
        context: positions that a sequence may have.
        layers: for each attention its groups, which share out its KV heads.
    """

    context: int
    layers: tuple[tuple[HeadGroup, ...], ...]


def full_layout(context: int, kv_heads: tuple[int, ...], bits: int = 32) -> KvLayout:
    """Every head keeps everything.

    Args:
        context: positions that a sequence may have.
        kv_heads: number of KV heads of each attention.
        bits: of stored keys and values.
    """
    groups = (HeadGroup(tuple(range(count)), key_bits=bits, value_bits=bits) for count in kv_heads)
    return KvLayout(context, tuple((group,) for group in groups))
