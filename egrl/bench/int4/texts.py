"""Texts of the benchmark: two to judge on, others that methods may look at.

`topics` is the language reference that Python ships; `editorials` is newspaper prose, which no
calibration text resembles. Neither is ever calibrated on. What is calibrated on alternates between
docstrings of the standard library and product reviews.
"""

import ast
import functools
import hashlib
import sysconfig
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from egrl.bench.int4.byte_pairs import BytePairs, read_byte_pairs
from graph_ir.errors import InputError

# Modules whose docstrings are calibration text; the language reference is in none of them.
MODULES = (
    "argparse", "ast", "bdb", "calendar", "cmd", "codecs", "collections", "concurrent.futures",
    "configparser", "contextlib", "copy", "csv", "dataclasses", "datetime", "difflib", "doctest",
    "enum", "fractions", "ftplib", "functools", "gettext", "heapq", "imaplib", "inspect",
    "ipaddress", "locale", "logging", "mailbox", "mimetypes", "optparse", "pathlib", "pdb",
    "pickle", "pickletools", "poplib", "pprint", "random", "sched", "shelve", "shutil", "smtplib",
    "socket", "socketserver", "statistics", "string", "subprocess", "tarfile", "tempfile",
    "textwrap", "threading", "timeit", "trace", "turtle", "unittest.mock", "urllib.parse",
    "urllib.request", "uuid", "weakref", "zipfile",
)  # fmt: skip

Ids = NDArray[np.int64]


def _topics(folder: Path) -> str:
    from pydoc_data.topics import topics

    return "\n".join(topics.values())


def _docstrings(folder: Path) -> str:
    return "\n\n".join(text for module in MODULES for text in _docstrings_of(module))


def _docstrings_of(module: str) -> list[str]:
    stem = Path(sysconfig.get_path("stdlib"), *module.split("."))
    found_in = [path for path in (stem.with_suffix(".py"), stem / "__init__.py") if path.exists()]
    if not found_in:
        raise InputError(f"text docstrings: expected a module {module} with source, got none")
    tree = ast.parse(found_in[0].read_text("utf-8"))
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    found = [ast.get_docstring(node) for node in ast.walk(tree) if isinstance(node, kinds)]
    return [text for text in found if text]


def _sentences(name: str, folder: Path) -> str:
    """One sentence a line behind its rating, as `scripts/models sentiment` lays it down."""
    path = folder / "sentiment" / f"{name}.txt"
    try:
        lines = path.read_text("utf-8").splitlines()
    except OSError as error:
        raise InputError(f"{path}: cannot be read; run scripts/models sentiment first") from error
    return " ".join(line.split("\t")[2] for line in lines)


TEXTS: Mapping[str, Callable[[Path], str]] = {
    "topics": _topics,
    "editorials": functools.partial(_sentences, "editorials"),
    "docstrings": _docstrings,
    "reviews": functools.partial(_sentences, "products"),
}

JUDGED = ("topics", "editorials")
CALIBRATION = ("docstrings", "reviews")
NAMES = (*TEXTS, "calibration")


def read_tokenizer(folder: Path) -> BytePairs:
    """The language model's tokenizer out of the folder of built models."""
    return read_byte_pairs(folder / "smollm2.tokenizer.json")


def windows(name: str, folder: Path, count: int, length: int) -> Ids:
    """The first windows of a text, `[count, length]`, without overlap.

    Args:
        name: out of `NAMES`; `calibration` takes the texts of `CALIBRATION` in turn.
        folder: of the built models.
        count: of windows.
        length: tokens of a window.

    Raises:
        InputError: no such text, or it is too short.
    """
    if name == "calibration":
        each = -(-count // len(CALIBRATION))
        parts = [windows(part, folder, each, length) for part in CALIBRATION]
        return np.stack(parts, axis=1).reshape(-1, length)[:count]
    if name not in TEXTS:
        raise InputError(f"text {name}: expected one of {', '.join(NAMES)}")
    ids = read_tokenizer(folder).encode(TEXTS[name](folder), count * length)
    if len(ids) < count * length:
        raise InputError(f"text {name}: expected {count * length} tokens, got {len(ids)}")
    return np.array(ids[: count * length], np.int64).reshape(count, length)


def digest(ids_WS: Ids) -> str:
    """By which a row names the tokens that it was measured on."""
    return hashlib.sha256(ids_WS.astype("<i8").tobytes()).hexdigest()[:16]
