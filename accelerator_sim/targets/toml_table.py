"""TOML text that may be hostile, as a table."""

import tomllib

from graph_ir.errors import InputError
from graph_ir.text import reason_of

LONGEST_LINE = 2000
"""Characters. Python's reader takes the square of the parts of a dotted key."""


def toml_table(text: str, where: str) -> dict[str, object]:
    """Read TOML.

    Raises:
        InputError: naming `where` and what is wrong, on one line.
    """
    for number, line in enumerate(text.split("\n"), 1):
        if len(line) > LONGEST_LINE:
            raise InputError(
                f"{where}: line {number}: expected at most {LONGEST_LINE} characters, "
                f"got {len(line)}"
            )
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where}: not valid TOML: {reason_of(error)}") from error
