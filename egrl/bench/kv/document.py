"""The document of `egrl bench kv`, from the rows alone."""

from importlib import import_module
from pathlib import Path

from egrl.bench.kv.rows import Rows
from egrl.bench.machine import machine_line

# Part to the module with `measure(settings: Settings, book: Book) -> None`, which measures the rows
# that are missing, and `section(rows: Rows) -> list[str]`, which writes them down.
PARTS: dict[str, str] = {
    "exactness": "egrl.bench.kv.exactness",
    "quality": "egrl.bench.kv.quality",
    "speed": "egrl.bench.kv.speed",
    "simulated": "egrl.bench.kv.simulated",
}

_INTRODUCTION = (
    "Written by `egrl bench kv` (after `scripts/models`); every measurement is a line of "
    "`kv.json`. Bytes are of all caches that a step graph has, scales and compensation slots "
    "included, as a share of caches that keep every position as float16."
)


def write_document(rows: Rows, out: Path) -> None:
    """Write the document."""
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text("\n".join(document_lines(rows)) + "\n", "utf-8")


def document_lines(rows: Rows) -> list[str]:
    """The Markdown."""
    lines = ["# Pruned KV: exactness, quality, speed and placement", "", _INTRODUCTION, ""]
    machines = sorted({row.machine for row in rows.values() if row.machine})
    lines += [f"Measured on: {'; '.join(machines)}. Written on: {machine_line()}.", ""]
    for part, module in PARTS.items():
        lines += [f"## {part.capitalize()}", ""]
        found = any(row.part == part for row in rows.values())
        lines += import_module(module).section(rows) if found else ["Not measured.", ""]
    while lines and not lines[-1]:
        lines.pop()
    return lines
