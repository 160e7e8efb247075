"""A sweep: everything checked first, then every point placed, in parallel."""

import itertools
import math
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from accelerator_sim.accelerator import Accelerator
from accelerator_sim.targets import load_target
from accelerator_sim.units import seconds_text
from egrl.budget import parse_budget
from egrl.placers import PLACERS
from egrl.placers.base import Progress, no_progress
from egrl.sweep.axis import BATCH, Axis, check_axes, parse_axis
from egrl.sweep.keys import with_value
from egrl.sweep.model import LowerTask, batch_dimension, lowered_workload
from egrl.sweep.point import PlaceTask, place_point
from egrl.sweep.result import AxisValues, Sweep, SweepPoint
from egrl.sweep.workers import WorkerDiedError, run_tasks
from graph_ir.errors import InputError
from graph_ir.workload import Workload

MAX_AXES = 2
MAX_POINTS = 1000


class SweepInterrupted(KeyboardInterrupt):
    """An interrupt, with the points that were finished.

    Attributes:
        sweep: the finished part.
    """

    def __init__(self, sweep: Sweep) -> None:
        super().__init__()
        self.sweep = sweep


class SweepBrokenError(RuntimeError):
    """A process died, for example for lack of memory.

    Attributes:
        sweep: the finished part.
    """

    def __init__(self, reason: str, sweep: Sweep) -> None:
        super().__init__(reason)
        self.sweep = sweep


def run_sweep(
    model: str | Path,
    vary: Sequence[str],
    *,
    target: str = "nnp-i",
    precision: str | None = None,
    dims: Mapping[str, int] | None = None,
    placer: str = "auto",
    budget: str = "2s",
    seed: int = 0,
    processes: int = 1,
    progress: Progress = no_progress,
) -> Sweep:
    """Place a model at every point of one or two axes.

    Args:
        model: ONNX file.
        vary: axes as on the command line, `SRAM.capacity_bytes=1MiB,2MiB`.
        target: accelerator that multiples are relative to.
        precision: execution type; the target's default where None.
        dims: extents of symbolic dimensions that are not varied.
        placer: of every point.
        budget: of every point; with evaluations the result does not depend on the machine.
        seed: of every point.
        processes: at once.
        progress: told of every finished point.

    Raises:
        InputError: an axis, a value or the model is wrong; nothing was simulated then.
        SweepInterrupted: an interrupt, with what was finished.
        SweepBrokenError: a process died, likewise.
    """
    accelerator = load_target(target)
    parse_budget(budget)
    if placer not in PLACERS:
        raise InputError(f"placer {placer}: unknown; expected one of {', '.join(PLACERS)}")
    axes = _axes(model, vary, accelerator, dims or {})
    grid = list(itertools.product(*(range(len(axis.values)) for axis in axes)))
    machines = [_machine(accelerator, axes, at) for at in grid]
    empty = Sweep(
        Path(model).name,
        accelerator.name,
        precision or accelerator.default_type,
        placer,
        budget,
        seed,
        tuple(AxisValues(axis.text, axis.values, axis.labels) for axis in axes),
        (),
    )
    points: dict[int, SweepPoint] = {}
    try:
        progress(f"reading {empty.model}", math.nan)
        extents = [_extents(axes, at, dims or {}) for at in grid]
        workloads = _workloads(str(model), accelerator, empty.execution_type, extents, processes)
        tasks = [
            PlaceTask(workloads[given], machine, placer, budget, seed)
            for given, machine in zip(extents, machines, strict=True)
        ]
        with closing(run_tasks(place_point, tasks, processes)) as results:
            for index, result in results:
                points[index] = SweepPoint(grid[index], result)
                found = result.failure or seconds_text(result.latency_s or 0.0)
                where = _where(axes, grid[index])
                progress(f"{len(points)} of {len(grid)}: {where}: {found}", math.nan)
    except KeyboardInterrupt as interrupt:
        raise SweepInterrupted(_with_points(empty, points)) from interrupt
    except WorkerDiedError as died:
        raise SweepBrokenError(str(died), _with_points(empty, points)) from died
    return _with_points(empty, points)


def _where(axes: Sequence[Axis], at: Sequence[int]) -> str:
    return ", ".join(f"{axis.text}={axis.labels[i]}" for axis, i in zip(axes, at, strict=True))


def _with_points(sweep: Sweep, points: Mapping[int, SweepPoint]) -> Sweep:
    return replace(sweep, points=tuple(points[index] for index in sorted(points)))


def _axes(
    model: str | Path, vary: Sequence[str], accelerator: Accelerator, dims: Mapping[str, int]
) -> list[Axis]:
    if not 1 <= len(vary) <= MAX_AXES:
        raise InputError(f"--vary: expected one or two axes, got {len(vary)}")
    wants_batch = any(text.partition("=")[0] == BATCH for text in vary)
    batch = batch_dimension(Path(model)) if wants_batch else ""
    axes = [parse_axis(text, accelerator, batch) for text in vary]
    check_axes(axes)
    for axis in axes:
        if axis.key is None and axis.dimension in dims:
            raise InputError(f"--vary {axis.text}: --dim fixes {axis.dimension}; give one of them")
    count = math.prod(len(axis.values) for axis in axes)
    if count > MAX_POINTS:
        raise InputError(f"--vary: expected at most {MAX_POINTS} points, got {count}")
    return axes


def _machine(accelerator: Accelerator, axes: Sequence[Axis], at: Sequence[int]) -> Accelerator:
    changed = accelerator
    for axis, i in zip(axes, at, strict=True):
        if axis.key is not None:
            changed = with_value(changed, axis.key, axis.values[i])
    return changed


_Extents = tuple[tuple[str, int], ...]


def _extents(axes: Sequence[Axis], at: Sequence[int], dims: Mapping[str, int]) -> _Extents:
    varied = {
        axis.dimension: int(axis.values[i])
        for axis, i in zip(axes, at, strict=True)
        if axis.key is None
    }
    return tuple(sorted({**dims, **varied}.items()))


def _workloads(
    model: str,
    accelerator: Accelerator,
    execution_type: str,
    extents: Sequence[_Extents],
    processes: int,
) -> dict[_Extents, Workload]:
    """The model lowered once for all extents that occur, so that wrong ones are found first."""
    different = list(dict.fromkeys(extents))
    tasks = [LowerTask(model, accelerator, execution_type, given) for given in different]
    with closing(run_tasks(lowered_workload, tasks, processes)) as found:
        return {different[index]: workload for index, workload in found}
