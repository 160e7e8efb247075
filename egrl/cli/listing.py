"""A registry as text: name and first line of the docstring."""

import inspect
from collections.abc import Mapping


def listing(registry: Mapping[str, object]) -> str:
    """One line per entry, in the registry's order."""
    width = max((len(name) for name in registry), default=0)
    return "\n".join(
        f"{name:<{width}}  {_first_line(thing)}".rstrip() for name, thing in registry.items()
    )


def _first_line(thing: object) -> str:
    # A factory or an instance is described by what it makes or is.
    documented = thing if callable(thing) else type(thing)
    lines = (inspect.getdoc(documented) or "").splitlines()
    return lines[0].removesuffix(".") if lines else ""
