"""The timeline as a Chrome trace, for Perfetto (ui.perfetto.dev) and chrome://tracing.

One process, one lane per thing that can be busy: the ops, matrix unit, vector unit, and for every
tier that weights stream from one lane for what is fetched ahead and one for what comes too late.
Slices of one lane never overlap, because viewers drop slices that overlap in part; times are
therefore rounded to whole nanoseconds before durations are taken. Counters show what each tier
holds and how many bytes a second it moves (per core where every core has its own), arrows lead
from a prefetch to the op that it was for.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import msgspec

from accelerator_sim.problem import PlacementProblem
from accelerator_sim.timeline import OpTrace, Timeline, Transfer
from accelerator_sim.trace_counters import Counter, bandwidth_counters, occupancy_counters

PROCESS = 1
OPS_LANE = 1
MATRIX_LANE = 2
VECTOR_LANE = 3
FIRST_TIER_LANE = 4

Event = dict[str, object]


def trace_json(problem: PlacementProblem, homes: Sequence[int], timeline: Timeline) -> bytes:
    """The trace as the bytes of a JSON file.

    Args:
        problem: workload and accelerator.
        homes: home index of every tensor.
        timeline: the traced simulation of these homes.
    """
    return msgspec.json.encode(
        {
            "traceEvents": trace_events(problem, homes, timeline),
            "displayTimeUnit": "ns",
            "otherData": {
                "model": problem.workload.name,
                "target": problem.accelerator.name,
                "latency_s": timeline.latency_s,
            },
        }
    )


def trace_events(
    problem: PlacementProblem, homes: Sequence[int], timeline: Timeline
) -> list[Event]:
    """The events: names of the lanes first, then all others by time, parents before children."""
    tiers = [tier.name for tier in problem.accelerator.tiers]
    moved = _laid_out(timeline, tiers)
    timed = [
        *_op_slices(timeline.ops),
        *(_transfer_slice(timeline, slot) for slot in moved),
        *_arrows(timeline, moved),
        *map(_counter, occupancy_counters(problem, homes, timeline)),
        *map(_counter, bandwidth_counters(problem, timeline)),
    ]
    timed.sort(key=_order)
    names = [_named("process_name", PROCESS, 0, f"{problem.workload.name} on "
                    f"{problem.accelerator.name}")]  # fmt: skip
    used = {event["tid"] for event in timed if event["ph"] == "X"}
    for lane, name in _lanes(tiers).items():
        if lane in used:
            names.append(_named("thread_name", PROCESS, lane, name))
            names.append(
                {"ph": "M", "name": "thread_sort_index", "pid": PROCESS, "tid": lane,
                 "args": {"sort_index": lane}}
            )  # fmt: skip
    return names + timed


def _lanes(tiers: Sequence[str]) -> dict[int, str]:
    lanes = {OPS_LANE: "ops", MATRIX_LANE: "matrix unit", VECTOR_LANE: "vector unit"}
    for index, name in enumerate(tiers):
        lanes[_tier_lane(index, late=False)] = f"{name} DMA, ahead"
        lanes[_tier_lane(index, late=True)] = f"{name} DMA, late"
    return lanes


def _tier_lane(tier: int, *, late: bool) -> int:
    return FIRST_TIER_LANE + 2 * tier + int(late)


def _named(kind: str, pid: int, tid: int, name: str) -> Event:
    return {"ph": "M", "name": kind, "pid": pid, "tid": tid, "args": {"name": name}}


def _order(event: Event) -> tuple[float, int, float]:
    """By time; at the same time counters, then slices from the longest to the shortest, arrows."""
    kinds = {"C": 0, "X": 1, "s": 2, "f": 2}
    ts, duration = event["ts"], event.get("dur", 0.0)
    assert isinstance(ts, float)
    assert isinstance(duration, float)
    return ts, kinds[str(event["ph"])], -duration


def _ns(seconds: float) -> int:
    return round(seconds * 1e9)


def _us(nanoseconds: int) -> float:
    return nanoseconds / 1000


def _slice(lane: int, name: str, category: str, start_ns: int, end_ns: int, args: Event) -> Event:
    return {
        "ph": "X", "name": name, "cat": category, "pid": PROCESS, "tid": lane,
        "ts": _us(start_ns), "dur": _us(max(0, end_ns - start_ns)), "args": args,
    }  # fmt: skip


def _op_slices(ops: Sequence[OpTrace]) -> Iterator[Event]:
    for index, op in enumerate(ops):
        start_ns, end_ns = _ns(op.start_s), _ns(op.end_s)
        args: Event = {
            "index": index,
            "family": op.family,
            "bound": op.bound,
            "split": op.split,
            "loop_order": op.loop_order,
            "macs": op.macs,
            "utilization": op.utilization,
            "stall_us": op.stall_s * 1e6,
            "stall_tensor": op.stall_tensor,
            "fill_us": op.fill_s * 1e6,
            "busy_us": {name: s * 1e6 for name, s in op.resource_s.items()},
            "traffic_bytes": dict(op.traffic_bytes),
        }
        yield _slice(OPS_LANE, op.name, "op", start_ns, end_ns, args)
        # The engine says how long a unit works, not when: drawn from the end of the overhead on.
        begin_s = op.start_s + op.fill_s
        for lane, seconds in ((MATRIX_LANE, op.mac_s), (VECTOR_LANE, op.vector_s)):
            if seconds > 0:
                begin_ns = min(_ns(begin_s), end_ns)
                until_ns = min(_ns(begin_s + seconds), end_ns)
                yield _slice(lane, op.name, "compute", begin_ns, until_ns, {"macs": op.macs})


@dataclass(frozen=True, slots=True)
class _Slot:
    """A transfer and where it is drawn."""

    transfer: Transfer
    lane: int
    start_ns: int
    end_ns: int


def _laid_out(timeline: Timeline, tiers: Sequence[str]) -> list[_Slot]:
    """Every transfer on its lane; those of one lane follow each other, also after rounding."""
    free_ns: dict[int, int] = {}
    slots: list[_Slot] = []
    for transfer in timeline.transfers:
        late = transfer.for_op == transfer.during_op
        lane = _tier_lane(tiers.index(transfer.tier), late=late)
        start_ns = max(_ns(transfer.start_s), free_ns.get(lane, 0))
        end_ns = max(start_ns, _ns(transfer.end_s))
        free_ns[lane] = end_ns
        slots.append(_Slot(transfer, lane, start_ns, end_ns))
    return slots


def _transfer_slice(timeline: Timeline, slot: _Slot) -> Event:
    transfer = slot.transfer
    args: Event = {
        "tier": transfer.tier,
        "bytes": transfer.size_bytes,
        "first_byte": transfer.first_byte,
        "for_op": timeline.ops[transfer.for_op].name,
        "during_op": timeline.ops[transfer.during_op].name,
    }
    category = "late" if transfer.for_op == transfer.during_op else "prefetch"
    return _slice(slot.lane, transfer.tensor, category, slot.start_ns, slot.end_ns, args)


def _arrows(timeline: Timeline, slots: Sequence[_Slot]) -> Iterator[Event]:
    """From the last part of each prefetched tensor to the op that it was fetched for."""
    last: dict[tuple[str, str, int], _Slot] = {}
    for slot in slots:
        transfer = slot.transfer
        if transfer.during_op < transfer.for_op:
            last[transfer.tensor, transfer.tier, transfer.for_op] = slot
    for number, slot in enumerate(last.values(), start=1):
        shared = {"name": "prefetch", "cat": "prefetch", "id": number, "pid": PROCESS}
        op_ns = _ns(timeline.ops[slot.transfer.for_op].start_s)
        yield {**shared, "ph": "s", "tid": slot.lane, "ts": _us(slot.start_ns)}
        yield {**shared, "ph": "f", "bp": "e", "tid": OPS_LANE, "ts": _us(op_ns)}


def _counter(counter: Counter) -> Event:
    return {
        "ph": "C", "name": counter.name, "pid": PROCESS, "tid": 0,
        "ts": _us(_ns(counter.at_s)), "args": counter.values,
    }  # fmt: skip
