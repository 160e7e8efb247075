"""A number with its origin: what every entry of an accelerator file is."""

import msgspec


class Quantity(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A number and where it comes from.

    Attributes:
        value: in the SI unit that the field's name states.
        source: document, page or table.
        assumed: True where it was not published; then `reason` says why this value.
        reason: why the value was assumed, or how it was derived.
    """

    value: float
    source: str = ""
    assumed: bool = False
    reason: str = ""
