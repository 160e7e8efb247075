"""Numbers as people read them: scaled to a unit, in plain ASCII."""

_SECONDS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "us"), (1e-9, "ns"))
_JOULES = ((1.0, "J"), (1e-3, "mJ"), (1e-6, "uJ"), (1e-9, "nJ"), (1e-12, "pJ"))
_WATTS = ((1.0, "W"), (1e-3, "mW"), (1e-6, "uW"))
_BYTES = ((2.0**40, "TiB"), (2.0**30, "GiB"), (2.0**20, "MiB"), (2.0**10, "KiB"))
_PLAIN = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


def seconds_text(seconds: float) -> str:
    """`1.234 ms`, four significant digits."""
    return _scaled(seconds, _SECONDS, "s")


def joules_text(joules: float) -> str:
    """`1.234 mJ`, four significant digits."""
    return _scaled(joules, _JOULES, "J")


def watts_text(watts: float) -> str:
    """`1.234 W`, four significant digits."""
    return _scaled(watts, _WATTS, "W")


def ratio_text(ratio: float) -> str:
    """`1.23x`."""
    return f"{ratio:.2f}x"


def bytes_text(count: float) -> str:
    """`1.5 MiB`; below one KiB `17 B`."""
    for size, unit in _BYTES:
        if abs(count) >= size:
            return f"{_digits(count / size)} {unit}"
    return f"{count:.0f} B"


def number_text(value: float) -> str:
    """`92.4 T`, `0.94 G`: a plain number with a decimal prefix."""
    for size, prefix in _PLAIN:
        if abs(value) >= size:
            return f"{_digits(value / size)} {prefix}"
    return _digits(value)


def percent_text(share: float) -> str:
    """`12.3 %`."""
    return f"{100 * share:.1f} %"


def plain(name: str, width: int | None = None) -> str:
    """A name from a file in printable ASCII, its middle left out where it is longer than `width`.

    The end of a tensor's name says more than its middle, so both ends are kept.
    """
    text = "".join(
        c if " " <= c <= "~" else c.encode("unicode_escape", "backslashreplace").decode("ascii")
        for c in name
    )
    if width is None or len(text) <= width:
        return text
    if width <= 5:
        return text[:width]
    tail = (width - 2) * 2 // 3
    return text[: width - 2 - tail] + ".." + text[-tail:]


def _scaled(value: float, units: tuple[tuple[float, str], ...], base: str) -> str:
    if value == 0:
        return f"0 {base}"
    for size, unit in units:
        if abs(value) >= size:
            return f"{_digits(value / size)} {unit}"
    size, unit = units[-1]
    return f"{_digits(value / size)} {unit}"


def _digits(value: float) -> str:
    """Four significant digits, none of them after a whole number of thousands."""
    if abs(value) >= 1000:
        return f"{value:.0f}"
    text = f"{value:.4g}"
    return text if "e" not in text else f"{value:.3e}"
