"""What a sweep found, point by point."""

import csv
import io
import json
from dataclasses import dataclass

import msgspec

COLUMNS = (
    "latency_s",
    "cold_latency_s",
    "lower_bound_s",
    "gap",
    "native_s",
    "best_reference",
    "best_reference_s",
    "ideal_s",
    "energy_j",
    "failure",
)


@dataclass(frozen=True, slots=True)
class PointResult:
    """One machine and one model, placed.

    Attributes:
        latency_s: steady state, or None where nothing fits.
        cold_latency_s: first inference.
        lower_bound_s: proven, or None.
        gap: to the bound, or None.
        native_s: latency of the `native` placement, or None where it finds nothing feasible.
        best_reference: name of the best stated reference, or "".
        best_reference_s: its latency, or None.
        ideal_s: with an unlimited innermost memory: a floor.
        energy_j: of one inference.
        failure: why there is no latency, or "".
    """

    latency_s: float | None
    cold_latency_s: float | None
    lower_bound_s: float | None
    gap: float | None
    native_s: float | None
    best_reference: str
    best_reference_s: float | None
    ideal_s: float | None
    energy_j: float | None
    failure: str


@dataclass(frozen=True, slots=True)
class SweepPoint:
    """Where on the axes, and what came out.

    Attributes:
        at: index of the value on each axis.
        result: what was found.
    """

    at: tuple[int, ...]
    result: PointResult


@dataclass(frozen=True, slots=True)
class AxisValues:
    """An axis as results name it.

    Attributes:
        name: `SRAM.capacity_bytes`, `dim:seq`, ...
        values: in SI units.
        labels: as they were given.
    """

    name: str
    values: tuple[float, ...]
    labels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Sweep:
    """A sweep, or the part of one that was finished.

    Attributes:
        model: file name.
        target: that was varied.
        execution_type: of the lowering.
        placer: of every point.
        budget: of every point.
        seed: of every point.
        axes: one or two.
        points: finished ones, in the order of the axes' values, the last axis fastest.
    """

    model: str
    target: str
    execution_type: str
    placer: str
    budget: str
    seed: int
    axes: tuple[AxisValues, ...]
    points: tuple[SweepPoint, ...]

    @property
    def point_count(self) -> int:
        """How many points the axes span."""
        count = 1
        for axis in self.axes:
            count *= len(axis.values)
        return count

    def labels(self, point: SweepPoint) -> list[str]:
        """Where a point is, as the values were given."""
        return [axis.labels[i] for axis, i in zip(self.axes, point.at, strict=True)]


def sweep_csv(sweep: Sweep) -> str:
    """One header line, one row per point: the axes' values in SI units, then `COLUMNS`."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*(axis.name for axis in sweep.axes), *COLUMNS])
    for point in sweep.points:
        values = [axis.values[i] for axis, i in zip(sweep.axes, point.at, strict=True)]
        cells = [getattr(point.result, name) for name in COLUMNS]
        writer.writerow(
            [
                *(int(value) if value == int(value) else value for value in values),
                *("" if cell is None else cell for cell in cells),
            ]
        )
    return text.getvalue()


def sweep_json(sweep: Sweep) -> str:
    """The object of `--json`, on one line."""
    plain = msgspec.to_builtins(sweep)
    plain["points"] = [
        {
            "values": [axis.values[i] for axis, i in zip(sweep.axes, point.at, strict=True)],
            "labels": sweep.labels(point),
            **msgspec.to_builtins(point.result),
        }
        for point in sweep.points
    ]
    return json.dumps(plain, allow_nan=False)
