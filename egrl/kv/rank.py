"""Retrieval heads: the KV heads with the highest scores over all layers."""

from egrl.kv.probe import HeadProbe, Scores
from graph_ir.errors import InputError

Head = tuple[int, int]
"""Layer, KV head."""


def check_share(name: str, share: float) -> None:
    """Checks a share of all KV heads.

    Raises:
        InputError: it is not between 0 and 1.
    """
    if not 0 <= share <= 1:
        raise InputError(f"{name}: expected a share of the KV heads, 0 to 1, got {share:g}")


def best_heads(scores: Scores, share: float) -> list[Head]:
    """The share of all heads with the highest scores, best first.

    The number is rounded, halves up; equal scores go by layer, then head.
    """
    ranked = sorted(
        (-score, layer, head)
        for layer, by_head in enumerate(scores)
        for head, score in enumerate(by_head)
    )
    count = int(share * len(ranked) + 0.5)
    return [(layer, head) for _, layer, head in ranked[:count]]


def retrieval_heads(probe: HeadProbe, induction: float, echo: float) -> frozenset[Head]:
    """The union of the best by induction and the best by echo (RazorAttention, section 3.2)."""
    chosen = best_heads(probe.induction, induction) + best_heads(probe.echo, echo)
    return frozenset(chosen)
