"""Speed of what is executed, on this machine: one thread, variants in turn, paired.

Times are of the calling thread, which does all the work with one thread: they leave out when the
machine did something else. Each round runs every variant once in a new order; a ratio is the
median over rounds of the uncompressed model's time over the variant's of the same round.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from egrl.bench.int4.methods import REFERENCE
from egrl.bench.int4.rows import Row, Rows
from egrl.bench.int4.scores import SEED
from egrl.bench.settings import processor
from runtime.manifest import Execution
from runtime.session import make_session

PART = "speed"
RESAMPLES = 2000
F64 = NDArray[np.float64]
Feeds = dict[str, NDArray[np.generic]]
Run = Callable[[], object]


@dataclass(frozen=True, slots=True)
class Timed:
    """Seconds of each round by variant, in step."""

    seconds_R: dict[str, F64]

    def rows(self, model: str) -> Rows:
        """A row for each variant."""
        rows = [self._row(model, name) for name in self.seconds_R]
        return {row.key: row for row in rows}

    def _row(self, model: str, name: str) -> Row:
        ratio_R = self.seconds_R[REFERENCE] / self.seconds_R[name]
        rng = np.random.default_rng(SEED)
        picks = rng.integers(0, len(ratio_R), (RESAMPLES, len(ratio_R)))
        low, high = np.quantile(np.median(ratio_R[picks], axis=1), (0.025, 0.975))
        metrics = {
            "ms": float(1e3 * np.median(self.seconds_R[name])),
            "ratio": float(np.median(ratio_R)),
            "rounds": len(ratio_R),
        }
        interval = {"ratio": (float(low), float(high))}
        return Row(PART, model, name, metrics, interval, machine=processor())


def interleaved(runs: Mapping[str, Run], rounds: int, burst: int = 1) -> Timed:
    """Time functions in turn.

    Args:
        runs: by name; each does its work on the calling thread.
        rounds: how often each is timed, after one that is not.
        burst: calls that are timed together.
    """
    rng = np.random.default_rng(SEED)
    names = list(runs)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for at in range(rounds + 1):
        for index in rng.permutation(len(names)):
            run = runs[names[index]]
            began = time.thread_time_ns()
            for _ in range(burst):
                run()
            spent = (time.thread_time_ns() - began) * 1e-9 / burst
            if at:
                seconds[names[index]].append(spent)
    return Timed({name: np.array(values) for name, values in seconds.items()})


def bound_run(
    model: Path, execution: Execution, feeds: Feeds, states: Mapping[str, str] | None = None
) -> Run:
    """One inference with inputs and outputs in place.

    Caches are written where they are read, as whoever decodes with the model does: a copy of all
    caches at each token would hide the products.

    Args:
        model: file.
        execution: options.
        feeds: inputs.
        states: inputs by the outputs that are written in their place; `past_key_values.X` by
            `present.X` where None.
    """
    session = make_session(model, execution, threads=1)
    binding = session.io_binding()
    values = {name: ort.OrtValue.ortvalue_from_numpy(array) for name, array in feeds.items()}
    for name, value in values.items():
        binding.bind_ortvalue_input(name, value)
    for output in session.get_outputs():
        past = output.name.replace("present.", "past_key_values.")
        past = past if states is None else states.get(output.name, output.name)
        if past != output.name and past in values:
            binding.bind_ortvalue_output(output.name, values[past])
        else:
            binding.bind_output(output.name, "cpu")
    # The values have to outlive the binding, which holds their addresses alone.
    return _Bound(session, binding, tuple(values.values())).run


@dataclass(frozen=True, slots=True)
class _Bound:
    session: ort.InferenceSession
    binding: ort.IOBinding
    values: tuple[ort.OrtValue, ...]

    def run(self) -> None:
        """One inference."""
        self.session.run_with_iobinding(self.binding)
