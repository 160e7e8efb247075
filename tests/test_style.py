"""Rules of the repository that no tool checks: short files, no machine paths, layers."""

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("graph_ir", "accelerator_sim", "runtime", "egrl")
LONGEST_FILE = 500


def tracked(*patterns: str) -> list[Path]:
    """Files of the repository, by git where there is one."""
    result = subprocess.run(
        ["git", "ls-files", "-z", "--", *patterns],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode != 0:
        pytest.skip("not a git checkout")
    paths = [ROOT / name for name in result.stdout.split("\0") if name]
    return [path for path in paths if path.is_file()]


def test_no_file_is_longer_than_five_hundred_lines():
    paths = tracked("*.py", "scripts/*")
    assert paths
    lengths = {
        str(path.relative_to(ROOT)): len(path.read_text("utf-8").splitlines())
        for path in paths
        if "data" not in path.relative_to(ROOT).parts
    }
    assert {name: n for name, n in lengths.items() if n >= LONGEST_FILE} == {}


def test_no_machine_paths_or_unfinished_work():
    # In pieces, so that this file does not contain them.
    folders = "|".join(("home", "root", "work", "tmp"))
    words = "|".join("".join(parts) for parts in (("TO", "DO"), ("FIX", "ME"), ("XX", "X")))
    forbidden = re.compile(rf"(?<![\w.\\/])/(?:{folders})/\w|\b(?:{words})\b")
    found = []
    for path in tracked("*.py", "*.md", "*.toml", "*.txt", "scripts/*", ".ci/*"):
        if "data" in path.relative_to(ROOT).parts:
            continue
        for number, line in enumerate(path.read_text("utf-8").splitlines(), start=1):
            if forbidden.search(line):
                found.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()}")
    assert found == []


def test_nothing_unpickles_and_no_handler_passes_silently():
    found = []
    for path in tracked(*(f"{package}/*.py" for package in PACKAGES)):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            where = f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}"
            if isinstance(node, ast.Import) and any(a.name == "pickle" for a in node.names):
                found.append(f"{where}: imports pickle")
            if isinstance(node, ast.ImportFrom) and (node.module == "pickle" or node.level > 0):
                found.append(f"{where}: imports pickle, or relatively")
            if isinstance(node, ast.ExceptHandler) and all(
                isinstance(statement, ast.Pass) for statement in node.body
            ):
                found.append(f"{where}: passes silently")
            if isinstance(node, ast.ExceptHandler) and node.type is None:
                found.append(f"{where}: bare except")
    assert found == []


def test_every_package_folder_is_a_package():
    folders = {path.parent for path in tracked(*(f"{package}/*.py" for package in PACKAGES))}
    assert [
        str(f.relative_to(ROOT)) for f in sorted(folders) if not (f / "__init__.py").exists()
    ] == []
