"""Compiled code is kept between runs, never older than its sources, wherever it can be written."""

import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numba
import numpy as np
import pytest

from accelerator_sim import compiled as compiled_module
from accelerator_sim import rectify, walk
from accelerator_sim.compiled import compiled_part, kernel_sources
from accelerator_sim.detailed.loop import execution, servers
from accelerator_sim.detailed.loop import run as event_loop
from egrl.placers import local_search, random_key

PACKAGES = [
    Path(str(module.__file__)).resolve().parents[depth]
    for module, depth in ((compiled_module, 0), (local_search, 1))
]

MODULE = """
from accelerator_sim.compiled import compiled
from sample.inner import FACTOR, inner

@compiled
def outer(x: int) -> int:
    return FACTOR * inner(x)
"""
INNER = """
from accelerator_sim.compiled import compiled
FACTOR = 2

@compiled
def inner(x: int) -> int:
    return x + 1
"""


def run(folder: Path, environment: dict[str, str] | None = None) -> str:
    code = (
        "from sample.outer import outer; print(outer(4), "
        "sum(outer.stats.cache_hits.values()), sum(outer.stats.cache_misses.values()))"
    )
    root = str(PACKAGES[0].parent)
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": f"{folder}{os.pathsep}{root}", **(environment or {})},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip() + (" warned" if "RuntimeWarning" in done.stderr else "")


def test_an_edit_in_another_file_is_noticed(tmp_path: Path) -> None:
    package = tmp_path / "sample"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "outer.py").write_text(MODULE)
    (package / "inner.py").write_text(INNER)
    environment = {"NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    assert run(tmp_path, environment) == "10 0 1"
    assert run(tmp_path, environment) == "10 1 0"
    (package / "inner.py").write_text(INNER.replace("x + 1", "x + 3"))
    assert run(tmp_path, environment) == "14 0 1"
    (package / "inner.py").write_text(INNER.replace("FACTOR = 2", "FACTOR = 5"))
    assert run(tmp_path, environment) == "25 0 1"


@pytest.mark.parametrize(
    "module", [walk, rectify, local_search, random_key, event_loop, execution, servers]
)
def test_all_that_goes_into_a_kernel_is_a_source(module: ModuleType) -> None:
    sources = {path for package in PACKAGES for path in kernel_sources(package)}
    for kernel in vars(module).values():
        if not isinstance(kernel, numba.core.dispatcher.Dispatcher):
            continue
        function = kernel.py_func
        assert Path(function.__code__.co_filename).resolve() in sources
        for name in function.__code__.co_names:
            value = function.__globals__.get(name)
            if isinstance(value, int | float):
                origins = [
                    Path(str(other.__file__)).resolve()
                    for other in list(sys.modules.values())
                    if other.__name__.startswith(("accelerator_sim", "egrl"))
                    and vars(other).get(name) is value
                ]
                assert sources.intersection(origins), name


def test_a_part_makes_no_arrays() -> None:
    @compiled_part
    def part(count: int) -> float:
        return np.ones(count).sum()

    with pytest.raises(numba.core.errors.NumbaError):
        part(3)


def test_without_a_folder_to_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled_module, "_writable", lambda folder: False)
    find = compiled_module.cache_folder.__wrapped__
    private = find("0" * 16)
    assert private is not None
    assert private.parent.stat().st_mode & 0o077 == 0
    monkeypatch.setattr(compiled_module.tempfile, "mkdtemp", _refuse)
    with pytest.warns(RuntimeWarning, match="NUMBA_CACHE_DIR"):
        assert find("0" * 16) is None


def test_a_readable_cache_is_used_where_nothing_can_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled = tmp_path / "__pycache__" / f"kernels-{'0' * 16}" / "accelerator_sim_x"
    filled.mkdir(parents=True)
    (filled / "walk.nbi").write_bytes(b"machine code")
    monkeypatch.setattr(compiled_module, "_PACKAGE", tmp_path)
    monkeypatch.setattr(compiled_module, "_writable", lambda folder: False)
    private = compiled_module.cache_folder.__wrapped__("0" * 16)
    assert (private / "accelerator_sim_x" / "walk.nbi").read_bytes() == b"machine code"


def _refuse(*_: object, **__: object) -> str:
    raise PermissionError("read-only")
