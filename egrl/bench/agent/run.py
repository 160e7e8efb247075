"""`egrl bench agent`: measure what is missing, then write the document from all rows."""

from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Protocol, TypeVar

from egrl.bench.agent import (
    equal_time,
    open_problems,
    protocol,
    real_machine,
    schedules,
    unknown,
)
from egrl.bench.agent.cases import AnyCase, native_seconds
from egrl.bench.agent.clock import measure_on_clock
from egrl.bench.agent.document import write_document
from egrl.bench.agent.names import check_names
from egrl.bench.agent.reference import measure_reference
from egrl.bench.agent.rows import Book, Reference, Rows, Run, read_rows, run_key
from egrl.bench.agent.settings import PARTS, AgentOptions, Settings
from egrl.bench.options import BenchOptions
from egrl.sweep.workers import run_tasks
from graph_ir.errors import InputError


class Task(Protocol):
    """A run to be measured."""

    @property
    def case(self) -> AnyCase:
        """Its problem."""

    @property
    def folder(self) -> Path:
        """Of the built models."""

    @property
    def row(self) -> tuple[str, str, str, int, float]:
        """Part, problem, method, seed and budget of the row that it makes."""


AnyTask = TypeVar("AnyTask", bound=Task)


def run(options: BenchOptions) -> None:
    """Measure the chosen experiments, write the document.

    Raises:
        InputError: the development set is not built, or a chosen name is nobody's.
    """
    settings = Settings(options, options.agent or AgentOptions())
    check_names(settings)
    book = Book(options.out.with_suffix(".json"))
    for path in settings.agent.merge:
        if not path.exists():
            raise InputError(f"--merge {path}: there is no such file")
        book.merge(read_rows(path))
    try:
        if not settings.agent.rewrite:
            for part in settings.agent.parts or PARTS:
                MEASURE[part](settings, book)
    finally:
        # What a stopped run has measured is in the document too.
        if book.path.exists():
            write_document(book.rows(), options.out)


def _protocol(settings: Settings, book: Book) -> None:
    _references(settings, book, protocol.cases(settings))
    measure_missing(settings, book, list(protocol.tasks(settings)), protocol.measure)


def _schedules(settings: Settings, book: Book) -> None:
    _references(settings, book, schedules.cases(settings))
    measure_missing(settings, book, list(schedules.tasks(settings)), protocol.measure)


def _time(settings: Settings, book: Book) -> None:
    _references(settings, book, equal_time.cases(settings))
    measure_missing(settings, book, list(equal_time.tasks(settings)), measure_on_clock)


def _unknown(settings: Settings, book: Book) -> None:
    _references(settings, book, [case.case for case in unknown.cases(settings)], exact_too=True)
    measure_missing(settings, book, list(unknown.tasks(settings, book.rows())), unknown.measure)


def _real(settings: Settings, book: Book) -> None:
    for session in real_machine.sessions(settings, book.rows().sessions):
        book.add(session)


def _open(settings: Settings, book: Book) -> None:
    _references(settings, book, open_problems.cases(settings), exact_too=True)
    measure_missing(
        settings, book, list(open_problems.tasks(settings, book.rows())), measure_on_clock
    )


MEASURE: dict[str, Callable[[Settings, Book], None]] = {
    "protocol": _protocol,
    "schedules": _schedules,
    "time": _time,
    "unknown": _unknown,
    "real": _real,
    "open": _open,
}


def _references(
    settings: Settings, book: Book, cases: Sequence[AnyCase], exact_too: bool = False
) -> None:
    """Measure the references that are missing, or were measured under another cost model."""
    known = book.rows().references
    for case in dict.fromkeys(cases):
        reference = known.get(case.name)
        native_s = native_seconds(case, settings.common.folder)
        current = reference is not None and reference.native_s == native_s
        if reference is not None and current and (reference.auto_plan or not exact_too):
            continue
        problem = case.load(settings.common.folder)
        reference = measure_reference(case.name, problem, settings.common.seconds, exact_too)
        book.add(reference)
        print(_reference_line(reference), flush=True)


def measure_missing(
    settings: Settings,
    book: Book,
    tasks: Sequence[AnyTask],
    measure: Callable[[AnyTask], Run],
) -> None:
    """Measure the tasks that have no row, and print a line for each.

    Args:
        settings: whether to measure again, and with how many processes.
        book: gets the rows.
        tasks: in the order in which they are begun.
        measure: a function of a module.
    """
    rows = book.rows()
    missing = [task for task in tasks if settings.agent.again or not _is_there(rows, task)]
    print(f"{len(missing)} of {len(tasks)} runs to measure", flush=True)
    with closing(run_tasks(measure, missing, settings.agent.jobs)) as results:
        for done, (_, row) in enumerate(results, start=1):
            book.add(row)
            print(f"[{done}/{len(missing)}] {run_line(row)}", flush=True)


def _is_there(rows: Rows, task: Task) -> bool:
    part, case, method, seed, budget = task.row
    run = rows.runs.get(run_key(part, case, method, seed))
    return (
        run is not None
        and run.budget >= budget
        and run.native_s == native_seconds(task.case, task.folder)
    )


def run_line(row: Run) -> str:
    """A row for a person."""
    name = f"{row.part}: {row.case}: {row.method}, seed {row.seed}"
    if row.latency_s is None:
        return f"{name}: nothing found, {row.seconds:.1f} s"
    # On an unknown machine nobody has measured `native`.
    native = "" if row.part == "unknown" else f"{row.native_s / row.latency_s:.3f} x native, "
    return (
        f"{name}: {row.latency_s * 1e6:.1f} us, {native}{row.evaluations} evaluations, "
        f"{row.seconds:.1f} s"
    )


def _reference_line(reference: Reference) -> str:
    return (
        f"{reference.case}: native {reference.native_s * 1e6:.1f} us, best "
        f"{reference.best_s * 1e6:.1f} us, bound {reference.bound_s * 1e6:.1f} us"
    )
