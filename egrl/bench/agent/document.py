"""The document of `egrl bench agent`."""

from pathlib import Path

from egrl.bench.agent.rows import Rows


def write_document(rows: Rows, out: Path) -> None:
    """Write the document and its pictures."""
    out.write_text("# Agents\n", "utf-8")
