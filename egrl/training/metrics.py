"""What a run says about itself: JSON lines and TensorBoard events.

`metrics.jsonl` depends on configuration and seed alone; wall time is in `timing.jsonl`.
"""

import json
import os
from pathlib import Path
from types import TracebackType

import msgspec

from graph_ir.errors import InputError

METRICS = "metrics.jsonl"
TIMING = "timing.jsonl"
EVENTS = "tensorboard"


class Metrics(msgspec.Struct, frozen=True):
    """One generation.

    Attributes:
        generation: counted from 1.
        evaluations: in all.
        best_s: latency of the best placement so far; None where there is none.
        speedup_over_native: of that; `native` on the same machine.
        gap_to_floor: its latency over the floor that no placement passes, less 1; None on other
            machines than the engine.
        valid_share: of the maps tried in this generation that fitted as they were.
        best_reward: of this generation.
        gradient_steps: of this generation.
        losses: of the learner; see `egrl.training.agents.Measures`.
    """

    generation: int
    evaluations: int
    best_s: float | None
    speedup_over_native: float | None
    gap_to_floor: float | None
    valid_share: float | None
    best_reward: float | None
    gradient_steps: int
    losses: dict[str, float]


class Timing(msgspec.Struct, frozen=True):
    """Wall time of one generation.

    Attributes:
        generation: counted from 1.
        seconds: it took.
        total_seconds: since this process began or resumed the run.
    """

    generation: int
    seconds: float
    total_seconds: float


class MetricsLog:
    """The open files of a run; use it in a `with` statement."""

    def __init__(
        self, folder: Path, generation: int, metrics_bytes: int, timing_bytes: int
    ) -> None:
        """Go on after a generation; what the files say of later ones is dropped.

        Args:
            folder: of the run.
            generation: last one that stays.
            metrics_bytes: of `metrics.jsonl` up to then.
            timing_bytes: of `timing.jsonl` up to then.

        Raises:
            InputError: a file is shorter than that.
        """
        from tensorboardX import SummaryWriter

        self._files = [
            _truncated(folder / METRICS, metrics_bytes),
            _truncated(folder / TIMING, timing_bytes),
        ]
        self._events = SummaryWriter(
            str(folder / EVENTS), purge_step=generation + 1, write_to_disk=True
        )

    def add(self, metrics: Metrics, timing: Timing) -> None:
        """Write one generation."""
        for file, row in zip(self._files, (metrics, timing), strict=True):
            line = json.dumps(msgspec.to_builtins(row), allow_nan=False) + "\n"
            os.write(file, line.encode())
        values = {
            "latency/best_s": metrics.best_s,
            "latency/speedup_over_native": metrics.speedup_over_native,
            "latency/gap_to_floor": metrics.gap_to_floor,
            "maps/valid_share": metrics.valid_share,
            "maps/best_reward": metrics.best_reward,
            "progress/evaluations": metrics.evaluations,
            **{f"loss/{name}": value for name, value in metrics.losses.items()},
        }
        for name, value in values.items():
            if value is not None:
                self._events.add_scalar(name, value, metrics.generation)

    def sync(self) -> tuple[int, int]:
        """Have everything on the disk; returns the sizes of both files in bytes."""
        self._events.flush()
        for file in self._files:
            os.fsync(file)
        metrics_bytes, timing_bytes = (os.lseek(file, 0, os.SEEK_END) for file in self._files)
        return metrics_bytes, timing_bytes

    def __enter__(self) -> "MetricsLog":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._events.close()
        for file in self._files:
            os.close(file)


def read_metrics(folder: Path) -> list[Metrics]:
    """All generations of a run.

    Raises:
        InputError: a line is wrong.
    """
    path = folder / METRICS
    try:
        lines = path.read_bytes().splitlines()
        return [msgspec.json.decode(line, type=Metrics) for line in lines]
    except (OSError, msgspec.DecodeError) as error:
        raise InputError(f"{path}: {' '.join(str(error).split())}") from error


def _truncated(path: Path, size: int) -> int:
    """A file open for appending, cut to a size."""
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
    found = os.lseek(file, 0, os.SEEK_END)
    if found < size:
        os.close(file)
        raise InputError(f"{path}: expected at least the checkpoint's {size} bytes, got {found}")
    os.ftruncate(file, size)
    return file
