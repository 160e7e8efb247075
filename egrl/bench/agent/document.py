"""The document of `egrl bench agent`, from the rows alone."""

from pathlib import Path

from egrl.bench.agent import clocked_table, goals, protocol_table, unknown_table
from egrl.bench.agent.rows import Rows
from egrl.bench.machine import machine_line


def write_document(rows: Rows, out: Path) -> None:
    """Write the document and, in a folder of its name beside it, the pictures."""
    from egrl.bench.agent.pictures import draw

    out.parent.mkdir(parents=True, exist_ok=True)
    pictures = draw(rows, out.with_suffix(""))
    out.write_text("\n".join(document_lines(rows, pictures, out.stem)) + "\n", "utf-8")


def document_lines(rows: Rows, pictures: set[str], folder: str = "agent") -> list[str]:
    """The Markdown.

    Args:
        rows: all measurements.
        pictures: names of the files that were drawn.
        folder: beside the document, where they are.
    """
    lines = [
        "# The agents against everything else",
        "",
        "Written by `egrl bench agent` (after `scripts/models`); every run is a line of "
        "`agent.json`. `egrl-paper` is the published agent and `egrl-paper:NAME` an ablation of "
        "it; `egrl` is ours; all others neither learn nor were trained. A run that is not there is "
        "named as missing, and no verdict counts it.",
        "",
        f"Written on: {machine_line()}; each experiment says where its runs were measured.",
        "",
        *goals.section(rows),
        *protocol_table.section(rows, pictures),
        *clocked_table.time_section(rows, pictures),
        *unknown_table.section(rows, pictures),
        *clocked_table.open_section(rows, pictures),
    ]
    while lines and not lines[-1]:
        lines.pop()
    return [line.replace("](agent/", f"]({folder}/") for line in lines]
