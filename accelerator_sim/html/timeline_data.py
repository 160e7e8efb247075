"""The timeline as blocks on lanes: ops, units, what every memory is busy with, DMA transfers."""

from collections.abc import Sequence

from accelerator_sim.html.limits import MAX_BLOCKS, MAX_TRANSFERS, drawn, short
from accelerator_sim.report import OpRow
from accelerator_sim.report_case import ReportCase
from accelerator_sim.timeline import Transfer

Json = dict[str, object]

NOISE_S = 1e-13
"""Shorter stalls are the rounding of the simulator's sums."""


def timeline_data(case: ReportCase) -> Json:
    """Lanes and blocks.

    The engine says for how long a unit or a memory is busy during an op, not when: such blocks are
    drawn from the end of the op's launch and fill on. Runs of consecutive ops share a block where
    there are more than `MAX_BLOCKS`.
    """
    ops = case.report.ops
    run = max(1, -(-len(ops) // MAX_BLOCKS))
    runs = [ops[first : first + run] for first in range(0, len(ops), run)]
    lanes: list[Json] = [_ops_lane(runs)]
    lanes += _unit_lanes(runs)
    resources = list(dict.fromkeys(name for op in ops for name in op.resource_s))
    lanes += [lane for name in resources if (lane := _busy_lane(name, runs)) is not None]
    transfers, merged = _transfer_lanes(case)
    return {
        "ops_per_block": run,
        "blocks": _blocks(runs),
        "lanes": [*lanes, *transfers],
        "transfers": len(case.timeline.transfers),
        "transfers_per_block": merged,
    }


def _blocks(runs: Sequence[Sequence[OpRow]]) -> Json:
    """What the blocks of the lanes refer to by position: single ops, or runs of them."""
    slowest = [max(run, key=lambda op: (op.duration_s, -op.index)) for run in runs]
    return {
        "first": [run[0].index for run in runs],
        "last": [run[-1].index for run in runs],
        "start_s": [drawn(run[0].start_s) for run in runs],
        "end_s": [drawn(run[-1].start_s + run[-1].duration_s) for run in runs],
        "name": [short(op.name) for op in slowest],
        "family": [op.family for op in slowest],
        "bound": [op.bound for op in slowest],
        "stall_s": [drawn(sum(op.stall_s for op in run)) for run in runs],
        "stall_tensor": [
            short(max(run, key=lambda op: (op.stall_s, -op.index)).stall_tensor) for run in runs
        ],
        "bytes": [
            [sum(op.traffic_bytes[name] for op in run) for name in run[0].traffic_bytes]
            for run in runs
        ],
    }


def _ops_lane(runs: Sequence[Sequence[OpRow]]) -> Json:
    return {
        "name": "ops",
        "kind": "ops",
        "block": list(range(len(runs))),
        "start_s": [drawn(run[0].start_s) for run in runs],
        "end_s": [drawn(run[-1].start_s + run[-1].duration_s) for run in runs],
    }


def _unit_lanes(runs: Sequence[Sequence[OpRow]]) -> list[Json]:
    lanes = []
    for name, kind in (("matrix unit", "mac"), ("vector unit", "vector")):
        busy = [[op.mac_s if kind == "mac" else op.vector_s for op in run] for run in runs]
        if any(any(seconds) for seconds in busy):
            lanes.append(_lane(name, kind, runs, busy))
    return lanes


def _busy_lane(name: str, runs: Sequence[Sequence[OpRow]]) -> Json | None:
    busy = [[op.resource_s.get(name, 0.0) for op in run] for run in runs]
    if not any(any(seconds) for seconds in busy):
        return None
    return _lane(f"{name} busy", f"busy:{name}", runs, busy)


def _lane(
    name: str, kind: str, runs: Sequence[Sequence[OpRow]], busy: Sequence[Sequence[float]]
) -> Json:
    block, start, end = [], [], []
    for position, (run, seconds) in enumerate(zip(runs, busy, strict=True)):
        total = sum(seconds)
        if total <= 0:
            continue
        until_s = run[-1].start_s + run[-1].duration_s
        begin_s = min(run[0].start_s + run[0].fill_s, until_s)
        block.append(position)
        start.append(drawn(begin_s))
        end.append(drawn(min(begin_s + total, until_s)))
    return {"name": name, "kind": kind, "block": block, "start_s": start, "end_s": end}


def _transfer_lanes(case: ReportCase) -> tuple[list[Json], int]:
    """A lane per memory that weights stream from for what is ahead of its op, one for the rest."""
    transfers, ops = case.timeline.transfers, case.report.ops
    merged = max(1, -(-len(transfers) // MAX_TRANSFERS))
    lanes: list[Json] = []
    for tier in case.problem.accelerator.tiers:
        for late in (False, True):
            mine = [
                t for t in transfers if t.tier == tier.name and (t.during_op == t.for_op) == late
            ]
            if mine:
                mine.sort(key=lambda t: (t.start_s, t.end_s, t.for_op, t.operand))
                name = f"{tier.name} DMA, {'during op' if late else 'ahead'}"
                lanes.append(_transfer_lane(name, late, mine, merged, ops))
    return lanes, merged


def _transfer_lane(
    name: str, late: bool, transfers: Sequence[Transfer], merged: int, ops: Sequence[OpRow]
) -> Json:
    groups = [transfers[first : first + merged] for first in range(0, len(transfers), merged)]
    largest = [max(group, key=lambda t: (t.size_bytes, -t.for_op)) for group in groups]
    return {
        "name": name,
        "kind": "during" if late else "ahead",
        "start_s": [drawn(min(t.start_s for t in group)) for group in groups],
        "end_s": [drawn(max(t.end_s for t in group)) for group in groups],
        "tensor": [short(t.tensor) for t in largest],
        "for_op": [t.for_op for t in largest],
        "bytes": [sum(t.size_bytes for t in group) for group in groups],
        "count": [len(group) for group in groups],
        "waits": [
            int(late and any(_is_waited_for(t, ops[t.for_op]) for t in group)) for group in groups
        ],
    }


def _is_waited_for(transfer: Transfer, op: OpRow) -> bool:
    """Whether the op that runs while this arrives is stalled by the memory that it comes from."""
    return op.stall_s > NOISE_S and op.bound == transfer.tier
