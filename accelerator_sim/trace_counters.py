"""What a trace counts beside its slices: bytes in each memory, bytes a second of each memory."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from accelerator_sim.accelerator import Tier
from accelerator_sim.build_report import residents, staging_bytes
from accelerator_sim.problem import PlacementProblem
from accelerator_sim.timeline import Timeline, Transfer

GIGA = 1e9


@dataclass(frozen=True, slots=True)
class Counter:
    """A track takes new values.

    Attributes:
        name: of the track.
        at_s: when.
        values: of its series, which viewers stack.
    """

    name: str
    at_s: float
    values: dict[str, float]


def occupancy_counters(
    problem: PlacementProblem, homes: Sequence[int], timeline: Timeline
) -> Iterator[Counter]:
    """What each tier holds, wherever it changes."""
    weights_L, live_L = residents(problem, homes)
    staging = staging_bytes(problem, homes)
    inner = len(weights_L) - 1
    for k, tier in enumerate(problem.accelerator.tiers):
        before = -1
        for op, live in zip(timeline.ops, live_L[k], strict=True):
            if live == before:
                continue
            before = live
            held: dict[str, float] = {"weights": weights_L[k], "activations": live}
            if k == inner and staging:
                held["staging"] = staging
            yield Counter(f"{tier.name} bytes", op.start_s, held)


def bandwidth_counters(problem: PlacementProblem, timeline: Timeline) -> Iterator[Counter]:
    """Gigabytes a second of each tier: what the running op moves, and what is fetched ahead.

    The engine spreads an op's own traffic over its whole duration; so does the counter.
    """
    ahead: dict[tuple[str, int], list[Transfer]] = {}
    early_bytes: dict[tuple[str, int], int] = {}
    for transfer in timeline.transfers:
        if transfer.during_op < transfer.for_op:
            ahead.setdefault((transfer.tier, transfer.during_op), []).append(transfer)
            key = transfer.tier, transfer.for_op
            early_bytes[key] = early_bytes.get(key, 0) + transfer.size_bytes
    for tier in problem.accelerator.tiers:
        name, peak = f"{tier.name} GB/s", peak_bytes_per_s(tier)
        before: dict[str, float] = {}
        for counter in _steps(name, tier, peak, timeline, ahead, early_bytes):
            if counter.values != before:
                before = counter.values
                yield counter


def peak_bytes_per_s(tier: Tier) -> float:
    """The most that a tier moves: on one port reads and writes take turns."""
    read, write = tier.read_bytes_per_s.value, tier.write_bytes_per_s.value
    return read + write if tier.ports == "separate" else max(read, write)


def _steps(
    name: str,
    tier: Tier,
    peak: float,
    timeline: Timeline,
    ahead: dict[tuple[str, int], list[Transfer]],
    early_bytes: dict[tuple[str, int], int],
) -> Iterator[Counter]:
    for index, op in enumerate(timeline.ops):
        seconds = op.end_s - op.start_s
        if seconds <= 0:
            continue
        own_bytes = op.traffic_bytes.get(tier.name, 0) - early_bytes.get((tier.name, index), 0)
        own = min(max(0, own_bytes) / seconds, peak)
        idle = {"op": own / GIGA, "ahead": 0.0}
        now_s = op.start_s
        yield Counter(name, now_s, idle)
        for transfer in ahead.get((tier.name, index), []):
            # Sums of the same seconds in another order: they may differ in the last bit.
            start_s, end_s = max(transfer.start_s, now_s), min(transfer.end_s, op.end_s)
            part_s = end_s - start_s
            if part_s <= 0:
                continue
            if start_s > now_s:
                yield Counter(name, now_s, idle)
            # Transfers are of whole bytes, so that a short one can seem faster than it is.
            rate = min(transfer.size_bytes / part_s, peak - own)
            yield Counter(name, start_s, {"op": own / GIGA, "ahead": rate / GIGA})
            now_s = end_s
        if op.start_s < now_s < op.end_s:
            yield Counter(name, now_s, idle)
    yield Counter(name, timeline.latency_s, {"op": 0.0, "ahead": 0.0})
