"""Rates of a matrix unit by data types."""

from accelerator_sim.mac_array import MacArray
from graph_ir.errors import InputError


def ceil_div(a: int, b: int) -> int:
    """Quotient, rounded up."""
    return -(-a // b)


_WIDER = ("int2", "int4", "int8")
"""Stored integers: narrow ones are widened on the way in where the unit has no rate for them."""


def rate_pair(array: MacArray, left_type: str, right_type: str) -> str | None:
    """The `activation*weight` pair at whose rate the unit multiplies.

    A narrow weight that it does not take is widened to the next type that it does, at last to the
    activation's: how a weight is stored does not say what it is multiplied in. Likewise bytes that
    are read beside a float weight are widened to its type.
    """
    stored = _WIDER[_WIDER.index(right_type) :] if right_type in _WIDER else (right_type,)
    for wide in (*stored, left_type):
        pair = f"{left_type}*{wide}"
        if pair in array.relative_rate:
            return pair
        if right_type not in _WIDER:
            break
    if left_type in _WIDER and right_type not in _WIDER:
        pair = f"{right_type}*{right_type}"
        return pair if pair in array.relative_rate else None
    return None


def relative_rate(array: MacArray, left_type: str, right_type: str) -> float:
    """Multiply-accumulates a cycle relative to the array's full rate.

    Raises:
        InputError: the pair has no rate.
    """
    pair = rate_pair(array, left_type, right_type)
    if pair is None:
        known = ", ".join(sorted(array.relative_rate))
        raise InputError(
            f"data types: the matrix unit has no rate for {left_type}*{right_type}; it has {known}"
        )
    return array.relative_rate[pair].value
