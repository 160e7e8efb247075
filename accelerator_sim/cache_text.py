"""The caches of a decoder in the report, for text and Markdown: rows of cells."""

from accelerator_sim.report import CacheReport
from accelerator_sim.units import bytes_text, number_text, percent_text, seconds_text


def cache_summary(caches: CacheReport) -> str:
    """What is kept, of what."""
    share = caches.cache_bytes / caches.full_bytes if caches.full_bytes > 0 else 1.0
    return (
        f"{bytes_text(caches.cache_bytes)} for {caches.context} positions, "
        f"{percent_text(share)} of the {bytes_text(caches.full_bytes)} of full caches"
    )


def context_cells(caches: CacheReport) -> list[list[str]]:
    """For each length: positions, latency of a token, tokens a second, bytes read of the caches."""
    return [
        [
            str(row.context),
            seconds_text(row.latency_s),
            number_text(1.0 / row.latency_s if row.latency_s > 0 else 0.0),
            bytes_text(row.read_bytes),
        ]
        for row in caches.contexts
    ]


def tier_cells(caches: CacheReport) -> list[list[str]]:
    """For each tier: name, bytes in it, positions beyond which these, then full, overflow it."""
    return [
        [
            tier.name,
            bytes_text(tier.cache_bytes),
            "never" if tier.kept_context is None else str(tier.kept_context),
            str(tier.full_context),
        ]
        for tier in caches.tiers
    ]


def shared_homes_text(latency_s: float, alone_s: float) -> str:
    """What a decoder's graph pays for having weights and caches where the other graph has them."""
    ratio = latency_s / alone_s if alone_s > 0 else 1.0
    own = f"{seconds_text(alone_s)} ({ratio:.2f}x)"
    return f"of weights and caches, with the decoder's other graph; with its own {own}"
