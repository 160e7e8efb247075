"""Compiled functions whose machine code is kept between runs and is never older than its sources.

numba keeps the machine code of a function under the digest of that function's file alone, though it
also contains the functions and constants of other files. So the folder that it is kept in is named
by a digest of all files that compiled code is made from: those that use `@compiled`, and those that
they import constants from.

The folder is, in this order: below `NUMBA_CACHE_DIR`; `__pycache__` of this package; the user's
cache folder; a private folder that lasts as long as the process, filled from `__pycache__` where
that can be read. Where nothing can be written, a warning says that every run compiles anew.
"""

import atexit
import os
import re
import shutil
import sys
import tempfile
import warnings
from collections.abc import Callable
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import numba

_PACKAGE = Path(__file__).resolve().parent
_USE = "from accelerator_sim.compiled import compiled"
_IMPORT = re.compile(r"^from ([\w.]+) import (\([^)]*\)|.*)$", re.MULTILINE)
_CONSTANT = re.compile(r"\b[A-Z][A-Z0-9_]+\b")


def compiled(function: Callable[..., Any]) -> Any:  # noqa: ANN401 - a numba dispatcher
    """Compile a function to machine code at its first call, or load what an earlier run compiled.

    It runs without the interpreter's lock; a division by zero gives what IEEE 754 says.

    Args:
        function: of numbers, arrays and named tuples of them.
    """
    return _compiled(function, {"nogil": True, "error_model": "numpy"})


def compiled_part(function: Callable[..., Any]) -> Any:  # noqa: ANN401 - as above
    """Like `compiled`, for a part of one function that is called millions of times a second.

    It becomes part of every caller's machine code, and leaves it to them to hold the arrays that it
    is given: handing a dozen of them on and counting references takes longer than such a part does.

    Args:
        function: of numbers, arrays and named tuples of them; numba refuses one that makes arrays.
    """
    # numba's own names: `_nrt` is the counting of references, `forceinline` LLVM's `alwaysinline`.
    return _compiled(
        function, {"nogil": True, "error_model": "numpy", "_nrt": False, "forceinline": True}
    )


def _compiled(function: Callable[..., Any], options: dict[str, Any]) -> Any:  # noqa: ANN401
    top = function.__module__.split(".", maxsplit=1)[0]
    file = getattr(sys.modules.get(top), "__file__", None)
    folder = cache_folder(_digest((_PACKAGE, Path(file).resolve().parent) if file else (_PACKAGE,)))
    if folder is None:
        return numba.njit(**options)(function)
    before = numba.config.CACHE_DIR
    numba.config.CACHE_DIR = str(folder)  # Read when the function is decorated.
    try:
        return numba.njit(cache=True, **options)(function)
    finally:
        numba.config.CACHE_DIR = before


def kernel_sources(package: Path) -> list[Path]:
    """The files of a package that use `@compiled`, and those that they import constants from."""
    users = {
        path: text
        for path in sorted(package.rglob("*.py"))
        if _USE in (text := path.read_text("utf-8"))
    }
    sources = set(users)
    for text in users.values():
        for module, names in _IMPORT.findall(text):
            first, *rest = module.split(".")
            if first == package.name and _CONSTANT.search(names):
                path = package.joinpath(*rest)
                sources.add(path / "__init__.py" if path.is_dir() else path.with_suffix(".py"))
    return sorted(sources)


@lru_cache(maxsize=8)
def _digest(packages: tuple[Path, ...]) -> str:
    digest = sha256()
    for package in sorted(set(packages)):
        for path in kernel_sources(package):
            digest.update(f"{path.relative_to(package.parent)}\0".encode())
            digest.update(sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:16]


@lru_cache(maxsize=8)
def cache_folder(digest: str) -> Path | None:
    """The folder for machine code of these sources, created and writable; None where there is none.

    Args:
        digest: of the sources.
    """
    name = f"kernels-{digest}"
    own = _PACKAGE / "__pycache__" / name
    given = os.environ.get("NUMBA_CACHE_DIR")
    user = Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()) / "egrl" / name
    for folder in [Path(given) / name] if given else [own, user]:
        if _writable(folder):
            return folder
    try:
        private = Path(tempfile.mkdtemp(prefix="egrl-kernels-"))
    except OSError:
        warnings.warn(
            "compiled code: no folder can be written, so every run compiles for about half a "
            "minute; set NUMBA_CACHE_DIR to a folder that can",
            RuntimeWarning,
            stacklevel=2,
        )
        return None
    atexit.register(shutil.rmtree, private, ignore_errors=True)
    if own.is_dir():
        shutil.copytree(own, private / name)
    return private / name


def _writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError:
        return False
    return True
