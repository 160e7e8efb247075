"""Tasks on several processes: results as they finish, one error ends all, an interrupt is clean.

Processes are started afresh (`spawn`), with one thread each; they may start processes of their
own, which a pool's daemons may not.
"""

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from types import FrameType
from typing import Any, NoReturn, TypeVar

from graph_ir.errors import EgrlError

Task = TypeVar("Task")
Result = TypeVar("Result")

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMBA_NUM_THREADS",
)
STOP_SECONDS = 3.0


class WorkerDiedError(RuntimeError):
    """A process ended without an answer."""


def run_tasks(
    execute: Callable[[Task], Result], tasks: Sequence[Task], processes: int
) -> Generator[tuple[int, Result], None, None]:
    """Index and result of every task, in the order in which they finish.

    One process is this one, and a single task is executed here. Close the iterator
    (`contextlib.closing`) to end the others.

    Args:
        execute: a function of a module, since the processes import it.
        tasks: what can be pickled.
        processes: at most so many at once.

    Raises:
        EgrlError: the first that a task raised.
        WorkerDiedError: a process did not answer.
    """
    if min(processes, len(tasks)) <= 1:
        for index, task in enumerate(tasks):
            yield index, _uninterrupted(execute, task)
        return
    workers = _Workers()
    try:
        workers.start(execute, min(processes, len(tasks)))
        yield from workers.run(tasks)
    finally:
        workers.stop()


def _uninterrupted(execute: Callable[[Task], Result], task: Task) -> Result:
    """The result, unless there was an interrupt that the task took for its own end.

    Raises:
        KeyboardInterrupt: there was one.
    """
    if threading.current_thread() is not threading.main_thread():
        return execute(task)
    came: list[int] = []

    def notice(number: int, _frame: FrameType | None) -> NoReturn:
        came.append(number)
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, notice)
    try:
        result = execute(task)
    finally:
        signal.signal(signal.SIGINT, before)
    if came:
        raise KeyboardInterrupt
    return result


class _Workers:
    """Processes that wait for tasks."""

    def __init__(self) -> None:
        self._processes: list[SpawnProcess] = []
        self._connections: list[Connection] = []

    def start(self, execute: Callable[[Task], Result], count: int) -> None:
        """Start so many."""
        context = multiprocessing.get_context("spawn")
        before = {name: os.environ.get(name) for name in THREAD_VARIABLES}
        os.environ.update(dict.fromkeys(THREAD_VARIABLES, "1"))
        try:
            for _ in range(count):
                ours, theirs = context.Pipe()
                process = context.Process(target=_serve, args=(theirs, execute))
                process.start()
                theirs.close()
                self._processes.append(process)
                self._connections.append(ours)
        finally:
            for name, value in before.items():
                if value is None:
                    del os.environ[name]
                else:
                    os.environ[name] = value

    def run(self, tasks: Sequence[Task]) -> Iterator[tuple[int, Any]]:
        """See `run_tasks`."""
        left = list(enumerate(tasks))[::-1]
        busy: dict[Connection, int] = {}
        for connection in self._connections:
            if left:
                busy[connection] = self._send(connection, *left.pop())
        while busy:
            ready = wait(list(busy))
            for connection in [known for known in busy if known in ready]:
                index = busy.pop(connection)
                yield index, self._receive(connection)
                if left:
                    busy[connection] = self._send(connection, *left.pop())

    def _send(self, connection: Connection, index: int, task: object) -> int:
        try:
            connection.send(task)
        except OSError as error:
            raise WorkerDiedError("a process of the sweep died") from error
        return index

    def _receive(self, connection: Connection) -> object:
        try:
            outcome = connection.recv()
        except (EOFError, OSError) as error:
            raise WorkerDiedError("a process of the sweep died (out of memory?)") from error
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    def stop(self) -> None:
        """End all processes, and those that they started."""
        for connection in self._connections:
            connection.close()
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            process.join(STOP_SECONDS)
            if process.is_alive():
                process.kill()
                process.join()


def _serve(connection: Connection, execute: Callable[[Task], Result]) -> None:
    # An interrupt from the terminal reaches every process; the parent decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _leave)
    while True:
        try:
            task = connection.recv()
        except (EOFError, OSError):
            # On the way out already: what unwinds the interpreter's exit is only noise.
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            return
        outcome: object
        try:
            outcome = execute(task)
        except EgrlError as error:
            outcome = error
        except Exception as error:
            outcome = RuntimeError(f"{type(error).__name__}: {error}")
        connection.send(outcome)


def _leave(_signal: int, _frame: FrameType | None) -> NoReturn:
    """Unwind, so that a solver's process is stopped too."""
    sys.exit(0)
