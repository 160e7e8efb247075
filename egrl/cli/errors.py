"""The one place where a failure becomes a line on stderr and an exit code."""

import contextlib
import os
import sys
import traceback
from collections.abc import Callable

from graph_ir.errors import EgrlError, UnmetRequirementError
from graph_ir.text import reason_of

BUG = 1
WRONG_INPUT = 2
INTERRUPTED = 130
CLOSED_PIPE = 141


def guarded(execute: Callable[[], int]) -> int:
    """Run a command; whatever goes wrong becomes one line and an exit code.

    With `EGRL_TRACEBACK=1` in the environment the traceback is printed as well.
    """
    try:
        code = execute()
        sys.stdout.flush()
    except SystemExit as stop:  # argparse: --help, --version
        return _flushed(stop.code if isinstance(stop.code, int) else 0)
    except BrokenPipeError:
        # Whoever read the output has seen enough; later writes must not complain either.
        _drop_stdout()
        return CLOSED_PIPE
    except KeyboardInterrupt:
        return _failed("interrupted", INTERRUPTED)
    except MemoryError:
        return _failed("out of memory: the input is too large for this machine", WRONG_INPUT)
    except UnmetRequirementError as error:
        return _failed(str(error), error.exit_code, error.details)
    except EgrlError as error:
        return _failed(str(error), error.exit_code)
    except OSError as error:
        where = f"{error.filename}: " if error.filename is not None else ""
        return _failed(where + (error.strerror or reason_of(error)), WRONG_INPUT)
    except Exception as error:
        kind = type(error).__name__
        hint = "" if _wants_traceback() else " (a bug of egrl's: EGRL_TRACEBACK=1 shows where)"
        return _failed(f"internal error: {kind}: {reason_of(error)}{hint}", BUG)
    return code


def _failed(message: str, code: int, details: tuple[str, ...] = ()) -> int:
    if _wants_traceback():
        traceback.print_exc()
    lines = [f"egrl: error: {' '.join(message.split())}", *(f"  {line}" for line in details)]
    # A name from a hostile file may hold what stderr cannot encode.
    encoding = sys.stderr.encoding or "ascii"
    text = "".join(f"{line}\n" for line in lines).encode(encoding, "backslashreplace")
    with contextlib.suppress(BrokenPipeError):
        sys.stderr.write(text.decode(encoding))
        sys.stderr.flush()
    return _flushed(code)


def _flushed(code: int) -> int:
    try:
        sys.stdout.flush()
    except OSError:
        _drop_stdout()
    return code


def _drop_stdout() -> None:
    """Point stdout at nothing, so that the interpreter's last flush is silent."""
    with contextlib.suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)


def _wants_traceback() -> bool:
    return os.environ.get("EGRL_TRACEBACK", "") not in ("", "0")
