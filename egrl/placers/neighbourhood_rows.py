"""Rows and columns of a neighbourhood's program: bytes of the tiers, time of the streams."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from accelerator_sim.incremental.state import (
    END,
    RESIDENT,
    START,
    STREAMED,
    STREAMING,
    State,
    Tables,
)
from accelerator_sim.kernel import FILL, OWN

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]

MIB = float(1 << 20)


@dataclass(slots=True)
class Rows:
    """Rows and columns as they are added; columns have lower bound 0."""

    column_upper: list[float] = field(default_factory=list)
    indices: list[Sequence[int] | I64] = field(default_factory=list)
    values: list[Sequence[float] | F64] = field(default_factory=list)
    lower: list[float] = field(default_factory=list)
    upper: list[float] = field(default_factory=list)

    def columns(self, count: int, upper: float = np.inf) -> int:
        """Add columns; the index of the first."""
        self.column_upper.extend([upper] * count)
        return len(self.column_upper) - count

    def row(
        self,
        indices: Sequence[int] | I64,
        values: Sequence[float] | F64,
        lower: float,
        upper: float,
    ) -> None:
        """Add a row."""
        self.indices.append(indices)
        self.values.append(values)
        self.lower.append(lower)
        self.upper.append(upper)


@dataclass(frozen=True, slots=True)
class OpColumns:
    """One op of the program: the records of its combinations and the columns that weigh them."""

    duration: int
    weights: I64
    records_CF: F64


def add_capacity(
    rows: Rows,
    tables: Tables,
    state: State,
    capacity_bytes_L: I64,
    homes: dict[int, I64],
    column: dict[int, int],
    ring: int,
) -> None:
    """Bytes of the decided tensors in every tier, between any two ops where one begins or ends.

    The ring is reserved where a tensor streams that is not decided, or where a decided one is in
    an outer tier and streams from there (`_add_streams`).
    """
    op_count, inner = len(state.record_N), len(capacity_bytes_L) - 1
    decided = np.array(list(homes), np.int64)
    start_T, end_T = tables.tensor_TF[decided, START], tables.tensor_TF[decided, END]
    cuts = np.unique(np.concatenate([start_T, end_T]))
    cuts = cuts[cuts < op_count]
    used_L = tables.tier_H[state.homes_T[decided]]
    size_T = tables.size_bytes_TH[decided, state.homes_T[decided]]
    streaming = int(state.counter_F[STREAMING]) - int(
        ((tables.tensor_TF[decided, STREAMED] > 0) & (used_L != inner)).sum()
    )
    if streaming > 0:
        rows.row([ring], [1.0], 1.0, 1.0)
    live_SD = (start_T <= cuts[:, np.newaxis]) & (cuts[:, np.newaxis] < end_T)
    for k, capacity in enumerate(capacity_bytes_L.tolist()):
        mine_D = np.where(used_L == k, size_T, 0)
        live_N = state.live_LN[k] + state.tier_LF[k, RESIDENT]
        # Live sets are the same all along a segment, so the fullest op speaks for it.
        full_S = np.maximum.reduceat(live_N, cuts)
        mine_S = live_SD @ mine_D
        unit = min(MIB, max(1.0, float(capacity)))
        reserved = tables.staging_bytes if k == inner and inner > 0 else 0
        seen: dict[bytes, None] = {}
        for segment in np.argsort(-(full_S - mine_S), kind="stable").tolist():
            live = live_SD[segment]
            indices, values = _sizes(tables, decided[live], homes, column, k, unit)
            room = capacity - int(full_S[segment] - mine_S[segment])
            if not len(indices) or live.tobytes() in seen:
                continue
            seen[live.tobytes()] = None
            if float(values.sum()) * unit + reserved <= room:
                continue
            if reserved:
                indices, values = np.append(indices, ring), np.append(values, reserved / unit)
            rows.row(indices, values, -np.inf, room / unit)


def _sizes(
    tables: Tables, tensors: I64, homes: dict[int, I64], column: dict[int, int], k: int, unit: float
) -> tuple[I64, F64]:
    """Columns of the homes in tier `k`, and the bytes that each takes."""
    indices, values = [], []
    for t in tensors.tolist():
        for position, home in enumerate(homes[t].tolist()):
            size = int(tables.size_bytes_TH[t, home])
            if tables.tier_H[home] == k and size > 0:
                indices.append(column[t] + position)
                values.append(size / unit)
    return np.array(indices, np.int64), np.array(values)


def add_streams(
    rows: Rows,
    tables: Tables,
    ops: dict[int, OpColumns],
    streaming: list[int],
    ring: int,
    unit_s: float,
) -> None:
    """Tier time of the ops: their own traffic and the streams that pass, as in `exact_model.py`."""
    tiers, ahead = len(tables.capacity_bytes_L), tables.prefetch_ops
    ring_unit = min(MIB, max(1.0, tables.ring_bytes))
    passing: dict[tuple[int, int], list[int]] = {}
    late: dict[tuple[int, int], list[int]] = {}
    early: dict[int, list[int]] = {op: [] for op in ops}
    held: dict[int, list[tuple[int, int, float]]] = {op: [] for op in ops}
    for j in sorted(streaming):
        stream_0 = ops[j].records_CF.shape[1] - 2 * tiers
        for tier in range(tiers):
            stream_C = ops[j].records_CF[:, stream_0 + tier]
            streams = np.flatnonzero(stream_C > 0.0)
            if not len(streams):
                continue
            weights = ops[j].weights[streams]
            rows.row(np.append(weights, ring), np.append(-np.ones(len(streams)), 1.0), 0.0, np.inf)
            ring_C = ops[j].records_CF[streams, stream_0 + tiers + tier]
            density_C = np.floor(ring_C / stream_C[streams])
            for density in np.unique(density_C).tolist():
                members = density_C == density
                # What passes over ops outside the program costs nothing here, but fills the ring;
                # the last of them fills it for the shortest time.
                within = range(max(0, j - ahead), j + 1)
                outside = [i for i in within if i not in ops][-1:]
                over = sorted([*outside, *(i for i in within if i in ops)])
                first = rows.columns(len(over))
                parts = np.arange(first, first + len(over))
                share = density * unit_s / ring_unit
                for position, i in enumerate(over):
                    if i not in ops:
                        continue
                    part = first + position
                    passing.setdefault((i, tier), []).append(part)
                    if i < j:
                        early[i].append(part)
                    else:
                        late.setdefault((j, tier), []).append(part)
                    # While op `i` runs the ring holds what came up to then and before op `j`.
                    held[i].append((first, min(part, first + len(over) - 2) + 1, share))
                values = np.append(np.ones(len(parts)), stream_C[streams][members] / -unit_s)
                rows.row(np.append(parts, weights[members]), values, 0.0, 0.0)
    for (j, tier), parts_late in sorted(late.items()):
        _occupy(rows, ops[j], parts_late, ops[j].records_CF[:, [FILL, OWN + tier]], unit_s)
    for (i, tier), parts_passing in sorted(passing.items()):
        _occupy(rows, ops[i], parts_passing, ops[i].records_CF[:, [OWN + tier]], unit_s)
    for i, op in ops.items():
        if early[i]:
            values = np.append(-np.ones(len(early[i])), 1.0)
            rows.row([*early[i], op.duration], values, 0.0, np.inf)
        if held[i]:
            indices = np.concatenate([np.arange(start, end) for start, end, _ in held[i]])
            shares = [share for start, end, share in held[i] for _ in range(start, end)]
            rows.row(indices, shares, -np.inf, tables.ring_bytes / ring_unit)


def _occupy(rows: Rows, op: OpColumns, parts: list[int], own_CX: F64, unit_s: float) -> None:
    """An op lasts as long as these parts and these seconds of its own together."""
    own_C = own_CX.sum(axis=1)
    indices = np.concatenate([[op.duration], parts, op.weights])
    values = np.concatenate([[1.0], -np.ones(len(parts)), own_C / -unit_s])
    rows.row(indices, values, 0.0, np.inf)
