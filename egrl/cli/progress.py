"""How far a search is: a bar on a terminal, plain lines elsewhere, always on stderr."""

import math
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

from accelerator_sim.units import plain, seconds_text

Report = Callable[[str, float], None]

SECONDS_BETWEEN_LINES = 1.0


@contextmanager
def shown_progress(title: str, budget: str, stream: TextIO | None = None) -> Iterator[Report]:
    """Give the callable that a search reports to; what it shows is gone or closed afterwards.

    Args:
        title: what is being done.
        budget: as on the command line; a bar needs seconds (`30s`).
        stream: where to; stderr.
    """
    stream = sys.stderr if stream is None else stream
    if stream.isatty():
        with _bar(title, _budget_seconds(budget), stream) as report:
            yield report
    else:
        yield PlainLines(title, stream).report


def _budget_seconds(budget: str) -> float | None:
    try:
        seconds = float(budget.removesuffix("s")) if budget.endswith("s") else math.nan
    except ValueError:
        return None
    return seconds if math.isfinite(seconds) and seconds > 0 else None


def line_text(message: str, best_s: float) -> str:
    """`message, best 1.234 ms`; the latency only where there is one."""
    best = f", best {seconds_text(best_s)}" if math.isfinite(best_s) and best_s > 0 else ""
    return plain(message, 120) + best


class PlainLines:
    """A line for every new message; repeated ones at most once a second."""

    def __init__(self, title: str, stream: TextIO) -> None:
        self._title = title
        self._stream = stream
        self._last_message = ""
        self._last_time = -math.inf

    def report(self, message: str, best_s: float) -> None:
        """Show one message."""
        now = time.monotonic()
        if message == self._last_message and now - self._last_time < SECONDS_BETWEEN_LINES:
            return
        self._last_message, self._last_time = message, now
        print(f"{self._title}: {line_text(message, best_s)}", file=self._stream, flush=True)


@contextmanager
def _bar(title: str, seconds: float | None, stream: TextIO) -> Iterator[Report]:
    from rich.console import Console
    from rich.progress import Progress, ProgressColumn, Task, TextColumn, TimeElapsedColumn
    from rich.progress_bar import ProgressBar

    class BudgetColumn(ProgressColumn):
        """The share of the time budget that is used; searches report no other measure."""

        def render(self, task: Task) -> ProgressBar:
            """Draw the bar."""
            spent = task.elapsed or 0.0
            if seconds is None:
                return ProgressBar(total=None, pulse=True, width=24, animation_time=spent)
            return ProgressBar(total=seconds, completed=min(spent, seconds), width=24)

    columns = (
        TextColumn("{task.fields[title]}", markup=False),
        BudgetColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.description}", markup=False),
    )
    console = Console(file=stream)
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("", total=None, title=title)

        def report(message: str, best_s: float) -> None:
            progress.update(task, description=line_text(message, best_s))

        yield report
