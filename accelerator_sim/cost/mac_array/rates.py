"""Rates of a matrix unit by data types."""

from accelerator_sim.mac_array import MacArray
from graph_ir.errors import InputError


def ceil_div(a: int, b: int) -> int:
    """Quotient, rounded up."""
    return -(-a // b)


def relative_rate(array: MacArray, left_type: str, right_type: str) -> float:
    """Multiply-accumulates a cycle relative to the array's full rate.

    Raises:
        InputError: the pair has no rate.
    """
    pair = f"{left_type}*{right_type}"
    quantity = array.relative_rate.get(pair)
    if quantity is None:
        known = ", ".join(sorted(array.relative_rate))
        raise InputError(f"data types: the matrix unit has no rate for {pair}; it has {known}")
    return quantity.value
