"""`egrl bench kv`: measure what is missing, then write the document from all rows."""

from importlib import import_module

from egrl.bench.agent.settings import AgentOptions
from egrl.bench.kv.document import PARTS, write_document
from egrl.bench.kv.rows import Book, read_rows
from egrl.bench.kv.simulated import draw_picture
from egrl.bench.options import BenchOptions
from egrl.bench.settings import Settings
from graph_ir.errors import InputError


def run(options: BenchOptions) -> None:
    """Measure the chosen parts, write the document.

    Raises:
        InputError: the development set is not built, or there is no such file of rows.
    """
    asked = options.agent or AgentOptions()
    settings = Settings(options.folder, tuple(options.models), asked.methods, asked.again)
    book = Book(options.out.with_suffix(".json"))
    for path in asked.merge:
        if not path.exists():
            raise InputError(f"--merge {path}: there is no such file")
        book.add(*read_rows(path).values())
    try:
        if not asked.rewrite:
            for part in asked.parts or tuple(PARTS):
                import_module(PARTS[part]).measure(settings, book)
    finally:
        # What a stopped run has measured is in the document too.
        rows = book.rows()
        write_document(rows, options.out)
        draw_picture(rows, options.out.with_suffix(""))
