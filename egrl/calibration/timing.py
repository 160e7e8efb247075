"""Seconds of onnxruntime's own computing.

With one thread they are CPU time of that thread: what the model takes where nothing else wants the
core. With more threads they are wall time, since threads wait for one another.
"""

import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from runtime.manifest import Execution
from runtime.session import make_session

Array = NDArray[np.generic]


@dataclass(frozen=True, slots=True)
class Timing:
    """What was measured.

    Attributes:
        median_s: of all runs.
        least_s: fastest run.
        most_s: slowest run.
        runs: how many.
    """

    median_s: float
    least_s: float
    most_s: float
    runs: int


def make_timed_session(model: Path | bytes, threads: int) -> ort.InferenceSession:
    """A session with all optimizations, as an artifact is executed by default.

    Raises:
        InputError: onnxruntime refuses the model.
    """
    return make_session(model, Execution(optimization_level="all"), threads)


def time_session(
    session: ort.InferenceSession,
    feeds: Mapping[str, Array],
    threads: int,
    seconds: float,
    least_runs: int = 5,
) -> list[float]:
    """Seconds of each run of a session, after two runs that do not count.

    Args:
        session: of that many threads.
        feeds: inputs by name.
        threads: of the session.
        seconds: to spend, about.
        least_runs: even where that takes longer.
    """
    clock = time.thread_time if threads == 1 else time.perf_counter
    given = dict(feeds)
    for _ in range(2):
        session.run(None, given)
    times: list[float] = []
    until = time.perf_counter() + seconds
    while len(times) < least_runs or (time.perf_counter() < until and len(times) < 1000):
        began = clock()
        session.run(None, given)
        times.append(clock() - began)
    return times


def timing_of(times: Sequence[float]) -> Timing:
    """Sum up the seconds of at least one run."""
    return Timing(
        statistics.median(times),
        min(times),
        max(times),
        len(times),
    )
