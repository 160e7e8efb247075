"""`python -m egrl.validation`: see `scripts/validate_simulator`."""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from egrl.bench.model_index import models_folder
from egrl.cli.errors import guarded
from egrl.validation.document import Compared, summary_lines, write_document
from egrl.validation.tools import TOOLS, Tool
from graph_ir.errors import InputError
from graph_ir.text import quoted

REPOSITORY = Path(__file__).parents[2]
ROWS = REPOSITORY / "tests" / "data" / "simulators"
DOCUMENT = REPOSITORY / "docs" / "validation.md"


def main(arguments: Sequence[str]) -> int:
    """Compare and write the document; returns an exit code.

    Raises:
        InputError: an option or a row is wrong, or the rows that `--only` asks for are missing.
    """
    parser = argparse.ArgumentParser(
        prog="scripts/validate_simulator",
        description="Compares the simulator with rows of other simulators and with silicon.",
    )
    parser.add_argument("--rows", type=Path, default=ROWS, help="folder of CSV files")
    parser.add_argument("--only", nargs="+", metavar="TOOL", help=f"of {', '.join(TOOLS)}")
    parser.add_argument(
        "--document",
        type=Path,
        help="file to write, plots go beside it (default: docs/validation.md, unless --rows or "
        "--only is given)",
    )
    options = parser.parse_args(arguments)
    compared = compare(options.rows, options.only)
    document = options.document
    if document is None and options.only is None and options.rows.resolve() == ROWS.resolve():
        document = DOCUMENT
    if document is not None:
        write_document(compared, document)
    for line in summary_lines(compared):
        print(line)
    return 0


def compare(folder: Path, only: Sequence[str] | None) -> dict[str, Compared]:
    """Compare with the rows of a folder.

    Args:
        folder: CSV files.
        only: keys of `TOOLS`; all whose files are there where None.

    Raises:
        InputError: no such folder or tool, a row is wrong, or a tool that was asked for has no
            rows.
    """
    if not folder.is_dir():
        raise InputError(f"--rows: expected a folder of CSV files, got {quoted(str(folder))}")
    for name in only or ():
        if name not in TOOLS:
            raise InputError(f"--only: expected some of {', '.join(TOOLS)}, got {quoted(name)}")
    compared = {}
    for key, tool in TOOLS.items():
        if only is not None and key not in only:
            continue
        missing = _missing(tool, folder)
        if missing and only is not None:
            raise InputError(f"{folder}: {key} needs {', '.join(missing)}: no such file")
        started = time.process_time()
        result = None if missing else tool.validate(folder)
        compared[key] = Compared(key, result, missing, time.process_time() - started)
    return compared


def _missing(tool: Tool, folder: Path) -> tuple[str, ...]:
    """Files of rows and models that a tool needs and that are not there."""
    files = tuple(name for name in tool.files if not (folder / name).exists())
    models = tuple(
        f"{name}.onnx (scripts/models {name})"
        for name in tool.models
        if not (models_folder() / f"{name}.onnx").exists()
    )
    return files + models


if __name__ == "__main__":
    sys.exit(guarded(lambda: main(sys.argv[1:])))
