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
        with_text: whether a method that measures heads is given development text for it.
    """

    name: str
    spec: str
    table: str
    peer: bool = True
    with_text: bool = True


STORAGE = "Everything kept, other types, and the published defaults"
PRUNED = "30 % of the bytes, by pruning alone"
EIGHT = "16 % of the bytes, pruned and int8"
BOTH = "10 % of the bytes, pruned and int4"
PRUNED_SHARE = 0.3
EIGHT_SHARE = 0.16
BOTH_SHARE = 0.1
TABLES = (STORAGE, PRUNED, EIGHT, BOTH)
# What is pruned alone is executed with float32 entries, which take twice the bytes that it would
# as float16: as many positions are kept as float16 entries have room for.
FLOAT_FACTOR = 2

_PRUNING = {
    "fitted": ("fitted", "", False),
    "razor": ("razor", "induction=0.14,echo=0.01", False),
    "no-compensation": ("no-compensation", "induction=0.14,echo=0.01", True),
    "random-heads": ("random-heads", "induction=0.14,echo=0.01", True),
    "streaming": ("streaming", "", True),
    "snapkv": ("snapkv", "", True),
    "adakv": ("adakv", "", True),
    "expected-attention": ("expected-attention", "", True),
    "expected-attention, even heads": ("expected-attention", "per-head=false", True),
    "scissorhands": ("scissorhands", "", True),
}


def _at(table: str, budget: float, bits: int) -> list[Case]:
    cases = []
    for name, (method, options, peer) in _PRUNING.items():
        parts = [method, *filter(None, [options]), f"kv-budget={budget}", f"bits={bits}"]
        cases.append(Case(f"{name}, {table.split(',')[0]}", ",".join(parts), table, peer))
    return cases


CASES: tuple[Case, ...] = (
    Case(REFERENCE, "kv", STORAGE),
    Case("int8 cache", "kv,bits=8", STORAGE),
    Case("int4 cache", "kv,bits=4", STORAGE),
    Case("razor as published", "razor,window=0,induction=0.14,echo=0.01", STORAGE),
    Case("razor by default", "razor", STORAGE),
    *_at(PRUNED, FLOAT_FACTOR * PRUNED_SHARE, 32),
    Case(
        "fitted on made-up text, 30 % of the bytes",
        f"fitted,kv-budget={FLOAT_FACTOR * PRUNED_SHARE},bits=32",
        PRUNED,
        peer=False,
        with_text=False,
    ),
    *(case for case in _at(EIGHT, EIGHT_SHARE, 8) if not case.peer),
    *_at(BOTH, BOTH_SHARE, 4),
)
