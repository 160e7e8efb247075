"""Any program as a machine: it is given a plan's file and prints a latency.

How to write one: `docs/evaluator.md`.
"""

import math
import shlex
import shutil
import tempfile
import threading
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
from numpy.typing import NDArray

from accelerator_sim.plan_builder import build_plan
from accelerator_sim.plan_io import plan_bytes
from accelerator_sim.problem import PlacementProblem
from accelerator_sim.reference_engine import simulate
from egrl.evaluators.answer import parse_answer
from egrl.evaluators.program import run_program
from graph_ir.errors import InputError, UnmetRequirementError

PLAN_PLACEHOLDER = "{plan}"
DEFAULT_TIMEOUT_S = 60.0
LARGEST_TIMEOUT_S = 86_400.0
LARGEST_COUNT = 1000


@dataclass(frozen=True, slots=True)
class Command:
    """How a machine is asked.

    Attributes:
        line: the command line, split as a shell would but run without one; `{plan}` stands for
            the plan's file, which is the last argument where it is not mentioned.
        repeats: measurements of every placement, of which the median counts.
        timeout_s: wall time of one measurement until it counts as failed.
        jobs: measurements at the same time.
    """

    line: str
    repeats: int = 1
    timeout_s: float = DEFAULT_TIMEOUT_S
    jobs: int = 1

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises:
            InputError: one is out of range.
        """
        for name, value in (("repeats", self.repeats), ("jobs", self.jobs)):
            if not 1 <= value <= LARGEST_COUNT:
                raise InputError(f"evaluator {name}: expected 1 to {LARGEST_COUNT}, got {value}")
        if not 0 < self.timeout_s <= LARGEST_TIMEOUT_S:
            raise InputError(
                f"evaluator timeout: expected above 0 to {LARGEST_TIMEOUT_S:g} s, "
                f"got {self.timeout_s:g} s"
            )

    def arguments(self) -> list[str]:
        """Program and arguments, the placeholder still in them.

        Raises:
            InputError: the line cannot be split, is empty, or names no program.
        """
        if "\0" in self.line:
            raise InputError(f"evaluator {self.line!r}: expected no zero byte")
        try:
            arguments = shlex.split(self.line)
        except ValueError as error:
            raise InputError(f"evaluator {self.line!r}: {error}") from error
        if not arguments:
            raise InputError("evaluator: expected a command, got nothing")
        if shutil.which(arguments[0]) is None:
            raise InputError(f"evaluator {self.line!r}: no program {arguments[0]!r} to be run")
        if not any(PLAN_PLACEHOLDER in argument for argument in arguments[1:]):
            arguments.append(PLAN_PLACEHOLDER)
        return arguments


class CommandEvaluator:
    """Measures placements with a program.

    Results are those of the placements, in their order, however many are measured at a time. A
    placement fails at its first measurement that fails, and the search goes on.

    Attributes:
        measured: placements asked for so far.
        failed: how many of them gave no latency.
        last_failure: why the last of those failed; empty where none did.
    """

    def __init__(self, problem: PlacementProblem, command: Command) -> None:
        """Prepare.

        Raises:
            InputError: see `Command.arguments`.
        """
        self._problem = problem
        self._command = command
        self._arguments = command.arguments()
        self.measured = 0
        self.failed = 0
        self.last_failure = ""

    def measure(self, homes_PT: NDArray[np.int8]) -> NDArray[np.float64]:
        """See `Evaluator.measure`; NaN where the program failed or there are no addresses."""
        latencies: list[float] = []
        stop = threading.Event()
        with (
            tempfile.TemporaryDirectory(prefix="egrl-evaluator-") as folder,
            ThreadPoolExecutor(self._command.jobs) as pool,
        ):
            try:
                waiting: deque[Future[tuple[float, str]]] = deque()
                for p, homes_T in enumerate(homes_PT):
                    # Few plans lie on the disk at a time.
                    if len(waiting) >= 2 * self._command.jobs:
                        latencies.append(self._count(waiting.popleft().result()))
                    path = Path(folder) / f"{p}.plan.json"
                    waiting.append(self._submit(pool, path, homes_T, stop))
                latencies += [self._count(answer.result()) for answer in waiting]
            except BaseException:
                # An interrupt: the programs that run are killed, the others not begun.
                stop.set()
                pool.shutdown(cancel_futures=True)
                raise
        return np.array(latencies, np.float64)

    def check(self, homes_T: NDArray[np.int8]) -> float:
        """Latency of a placement that the machine must be able to run.

        Raises:
            InputError: it could not be measured, and why.
        """
        latency_s = float(self.measure(homes_T[np.newaxis, :])[0])
        if not latency_s > 0:
            raise InputError(
                f"evaluator {self._command.line!r}: the reference placement could not be "
                f"measured: {self.last_failure}"
            )
        return latency_s

    def _count(self, answer: tuple[float, str]) -> float:
        latency_s, failure = answer
        self.measured += 1
        if failure:
            self.failed += 1
            self.last_failure = failure
        return latency_s

    def _submit(
        self,
        pool: ThreadPoolExecutor,
        path: Path,
        homes_T: NDArray[np.int8],
        stop: threading.Event,
    ) -> "Future[tuple[float, str]]":
        homes = homes_T.tolist()
        try:
            plan = build_plan(self._problem, homes, simulate(self._problem, homes))
        except UnmetRequirementError:
            return pool.submit(_no_addresses)
        path.write_bytes(plan_bytes(plan))
        return pool.submit(self._ask, path, stop)

    def _ask(self, path: Path, stop: threading.Event) -> tuple[float, str]:
        """The median latency of a plan, or NaN and why; its file is gone afterwards."""
        arguments = [argument.replace(PLAN_PLACEHOLDER, str(path)) for argument in self._arguments]
        latencies: list[float] = []
        try:
            for _ in range(self._command.repeats):
                if stop.is_set():
                    return math.nan, "stopped"
                run = run_program(arguments, self._command.timeout_s, stop)
                if run.failure:
                    return math.nan, run.failure
                latency_s, failure = parse_answer(run.stdout)
                if failure:
                    return math.nan, failure
                latencies.append(latency_s)
        finally:
            path.unlink(missing_ok=True)
        return median(latencies), ""


def _no_addresses() -> tuple[float, str]:
    return math.nan, "no addresses were found for it"
