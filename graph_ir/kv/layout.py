"""Which keys and values each KV head keeps: the result of every KV method, read by the graphs."""

from dataclasses import dataclass, replace

from graph_ir.errors import InputError
from graph_ir.kv.scoring import OBSERVATION, Expected, Scoring

BITS = (4, 8, 16, 32)


@dataclass(frozen=True, slots=True)
class HeadGroup:
    """KV heads of one attention that keep the same positions, in one pair of caches.

    A group keeps either everything (`window` 0) or its first `sinks` positions, the last `window`
    positions in a ring, and, with `compensation`, one slot with the means of all dropped keys and
    values whose logit has the logarithm of their number added (RazorAttention, section 3). Or, with
    `keep`, each head has its own choice of that many positions, made once the prompt has been read
    (`graph_ir.kv.select`), and room for `growth` that come after it.

    Attributes:
        heads: indices of its KV heads, rising.
        window: last positions kept; 0 for all.
        sinks: first positions kept; 0 where the window is 0.
        compensation: whether what is dropped leaves its mean behind.
        key_bits: of a stored key: 32 float, 16 float16, 8 and 4 integers with scales per entry.
        value_bits: of a stored value, likewise.
        keep: positions of the prompt that each head chooses; 0 where nothing is chosen.
        growth: positions after the prompt, of which all are kept; 0 where nothing is chosen.
        shared: whether the heads choose `keep` positions on average, each as many of its own as
            score more than those of the others (`graph_ir.kv.pooled`).
        buffer: positions kept by how often they were important (`graph_ir.kv.scored`); 0 for none.
        history: queries over which that is remembered; 0 without a buffer.
        recent: queries that have to find a position unimportant before it may be dropped.
    """

    heads: tuple[int, ...]
    window: int = 0
    sinks: int = 0
    compensation: bool = False
    key_bits: int = 32
    value_bits: int = 32
    keep: int = 0
    growth: int = 0
    shared: bool = False
    buffer: int = 0
    history: int = 0
    recent: int = 0

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
        if min(self.keep, self.growth) < 0 or (self.keep == 0) != (self.growth == 0):
            raise InputError(f"keep and growth: expected both or none, got {self}")
        if self.shared and not self.keep:
            raise InputError(f"shared positions: expected chosen ones, got {self}")
        if self.keep and self.window:
            raise InputError(f"window: expected none beside chosen positions, got {self}")

        if min(self.buffer, self.history, self.recent) < 0 or (self.buffer == 0) != (
            self.history == 0
        ):
            raise InputError(f"buffer and history: expected both or none, got {self}")
        if 1 in (self.buffer, self.history) or 2 * self.recent > self.buffer:
            raise InputError(
                "buffer and history: expected 2 or more positions, the buffer twice the recent "
                f"ones, got {self}"
            )
        if self.buffer and (self.window or self.keep):
            raise InputError(f"buffer: expected no window or chosen positions, got {self}")

    @property
    def is_fixed(self) -> bool:
        """Whether its caches do not grow with the context."""
        return bool(self.window or self.keep or self.buffer)

    @property
    def is_beside(self) -> bool:
        """Whether the rows of a chunk attend to the caches as they were, and to one another."""
        return bool(self.window or self.buffer)

    def most_rows(self, context: int) -> int:
        """Rows that a step may have: all that follows them needs room beside them."""
        return self.window or self.growth or self.buffer // 2 or context

    def slots(self, context: int) -> int:
        """Positions that its caches have room for, the compensation slot included."""
        if self.keep:
            return self.keep + self.growth
        if self.buffer:
            return self.buffer
        if self.window == 0:
            return context
        return int(self.compensation) + self.sinks + self.window


@dataclass(frozen=True, slots=True)
class KvLayout:
    """What a whole decoder keeps.

    Attributes:
        context: positions that a sequence may have.
        layers: for each attention its groups, which share out its KV heads.
        scoring: by what positions of a prompt are chosen, where some are.
    """

    context: int
    layers: tuple[tuple[HeadGroup, ...], ...]
    scoring: Scoring = OBSERVATION

    def __post_init__(self) -> None:
        """Checks that heads choose alike: one number says how many positions were dropped.

        Raises:
            InputError: some choose and others do not, or another number of positions, or more than
                there are; rotations of other attentions.
        """
        scoring = self.scoring
        if isinstance(scoring, Expected) and len(scoring.rotations) != len(self.layers):
            raise InputError(
                f"KV layout: expected rotations of {len(self.layers)} attentions, "
                f"got {len(scoring.rotations)}"
            )
        chosen = sorted({(group.keep, group.growth) for groups in self.layers for group in groups})
        if len(chosen) > 1:
            raise InputError(
                f"KV layout: expected the same keep and growth of all heads, got {chosen}"
            )
        if self.keep > self.context:
            raise InputError(
                f"KV layout: expected at most {self.context} chosen positions, got {self.keep}"
            )

    @property
    def keep(self) -> int:
        """Positions of a prompt that each head chooses; 0 where nothing is chosen."""
        return max((group.keep for groups in self.layers for group in groups), default=0)

    @property
    def growth(self) -> int:
        """Positions after the prompt that there is room for; 0 where nothing is chosen."""
        return max((group.growth for groups in self.layers for group in groups), default=0)


def full_layout(context: int, kv_heads: tuple[int, ...], bits: int = 32) -> KvLayout:
    """Every head keeps everything.

    Args:
        context: positions that a sequence may have.
        kv_heads: number of KV heads of each attention.
        bits: of stored keys and values.
    """
    groups = (HeadGroup(tuple(range(count)), key_bits=bits, value_bits=bits) for count in kv_heads)
    return KvLayout(context, tuple((group,) for group in groups))


def without_idle_windows(layout: KvLayout) -> KvLayout:
    """The same layout in fewer caches: a window that holds the whole context is none.

    Heads of an attention that then keep everything, in the same bits, share a pair of caches, so
    that a step for short texts is as fast as one that prunes nothing.
    """
    return replace(layout, layers=tuple(_merged(g, layout.context) for g in layout.layers))


def _merged(groups: tuple[HeadGroup, ...], context: int) -> tuple[HeadGroup, ...]:
    merged: list[HeadGroup] = []
    for group in groups:
        if group.window and group.sinks + group.window >= context:
            group = replace(group, window=0, sinks=0, compensation=False)
        same = [
            at
            for at, other in enumerate(merged)
            if not group.is_fixed and replace(other, heads=group.heads) == group
        ]
        if same:
            heads = sorted((*merged[same[0]].heads, *group.heads))
            merged[same[0]] = replace(group, heads=tuple(heads))
        else:
            merged.append(group)
    return tuple(merged)


def prompt_layout(layout: KvLayout) -> KvLayout:
    """What is kept while a prompt is read of which positions are chosen afterwards: everything."""
    layers = tuple(
        tuple(replace(group, keep=0, growth=0, shared=False) for group in groups)
        for groups in layout.layers
    )
    return replace(layout, layers=layers)
