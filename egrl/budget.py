"""`30s` or `4000ev`: how long a search may go on."""

import re

from egrl.placers.base import Budget
from graph_ir.errors import InputError

_FORM = re.compile(r"(\d{1,9}(?:\.\d{1,6})?)(s|ev)")


def default_budget(measured: bool) -> str:
    """The budget where none is given: evaluations where each of them is a measurement."""
    return "400ev" if measured else "30s"


def parse_budget(text: str) -> Budget:
    """Parse a budget.

    Args:
        text: seconds (`30s`, `0.5s`) or engine evaluations (`4000ev`).

    Raises:
        InputError: neither, or not above 0.
    """
    match = _FORM.fullmatch(text)
    if match is None or float(match[1]) <= 0 or (match[2] == "ev" and "." in match[1]):
        raise InputError(f"budget {text}: expected seconds or evaluations such as 30s or 4000ev")
    if match[2] == "s":
        return Budget(seconds=float(match[1]))
    return Budget(evaluations=int(match[1]))
