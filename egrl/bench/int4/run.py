"""`egrl bench int4`: measure what is missing, then write the document from all rows."""

from collections.abc import Callable

from egrl.bench.agent.settings import AgentOptions
from egrl.bench.int4 import quality, speed_cases, speed_decoder
from egrl.bench.int4.document import write_document
from egrl.bench.int4.methods import METHODS
from egrl.bench.int4.rows import Book, read_rows
from egrl.bench.int4.subjects import SUBJECTS
from egrl.bench.options import BenchOptions
from egrl.bench.settings import Settings
from graph_ir.errors import InputError

MEASURE: dict[str, Callable[[Settings, Book], None]] = {
    "quality": quality.measure,
    "speed": speed_cases.measure,
}


def run(options: BenchOptions) -> None:
    """Measure the chosen parts, write the document.

    Raises:
        InputError: the development set is not built, or there is no such model or method.
    """
    asked = options.agent or AgentOptions()
    models = (*SUBJECTS, *speed_cases.END_TO_END, *speed_decoder.NAMES, "layers")
    for flag, names, known in (
        ("--model", options.models, models),
        ("--method", asked.methods, tuple(METHODS)),
    ):
        strange = [name for name in names if name not in known]
        if strange:
            raise InputError(f"{flag} {strange[0]}: expected one of {', '.join(known)}")
    settings = Settings(options.folder, tuple(options.models), asked.methods, asked.again)
    book = Book(options.out.with_suffix(".json"))
    for path in asked.merge:
        if not path.exists():
            raise InputError(f"--merge {path}: there is no such file")
        book.add(*read_rows(path).values())
    try:
        if not asked.rewrite:
            for part in asked.parts or tuple(MEASURE):
                MEASURE[part](settings, book)
    finally:
        # What a stopped run has measured is in the document too.
        if book.path.exists():
            write_document(book.rows(), options.out)
