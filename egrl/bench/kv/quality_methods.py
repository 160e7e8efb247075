"""The rows of the quality part: what is compared at equal bytes."""

from dataclasses import dataclass

PART = "quality"
REFERENCE = "full cache"


@dataclass(frozen=True, slots=True)
class Case:
    """One row.

    Attributes:
        name: of the row.
        spec: as after `--compress`.
        table: heading of its table.
        peer: whether it is someone else's method or an ablation, not what we would choose.
    """

    name: str
    spec: str
    table: str
    peer: bool = True


STORAGE = "Everything kept, other types, and the published defaults"
PRUNED = "30 % of the bytes, by pruning alone"
BOTH = "10 % of the bytes, pruned and int4"
PRUNED_SHARE = 0.3
BOTH_SHARE = 0.1
TABLES = (STORAGE, PRUNED, BOTH)

_PRUNING = {
    "razor": False,
    "no-compensation": True,
    "random-heads": True,
    "streaming": True,
}


def _at(table: str, share: float, bits: int) -> list[Case]:
    return [
        Case(f"{name} at {share:.0%}", f"{name},kv-budget={share},bits={bits}", table, peer)
        for name, peer in _PRUNING.items()
    ]


CASES: tuple[Case, ...] = (
    Case(REFERENCE, "kv,bits=16", STORAGE),
    Case("int8 cache", "kv,bits=8", STORAGE),
    Case("int4 cache", "kv,bits=4", STORAGE),
    Case("razor as published", "razor,window=0,bits=16", STORAGE),
    *_at(PRUNED, PRUNED_SHARE, 16),
    *_at(BOTH, BOTH_SHARE, 4),
)
