"""The states of a step graph: inputs and outputs that are one buffer."""

import json

from graph_ir.errors import InputError
from graph_ir.text import quoted

STATES_KEY = "egrl.states"
_MAX_TEXT = 4 << 20

Pairs = tuple[tuple[str, str], ...]


def parse_states(text: str | None, where: str) -> Pairs:
    """The pairs of an input and an output that a model's metadata names.

    Args:
        text: JSON, a list of `[input, output]`; None and empty where the model has no states.
        where: names the model in an error.

    Raises:
        InputError: something else, or a name that is in two pairs.
    """
    if not text:
        return ()
    if len(text) > _MAX_TEXT:
        raise InputError(f"{where}: {STATES_KEY}: expected at most {_MAX_TEXT} characters")
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where}: {STATES_KEY}: not JSON") from error
    pairs: list[tuple[str, str]] = []
    seen: set[str] = set()
    for pair in found if isinstance(found, list) else [found]:
        if (
            not isinstance(pair, list)
            or len(pair) != 2
            or not all(isinstance(name, str) and name for name in pair)
        ):
            raise InputError(f"{where}: {STATES_KEY}: expected a list of [input, output]")
        for name in pair:
            if name in seen:
                raise InputError(f"{where}: {STATES_KEY}: {quoted(name)} is given twice")
            seen.add(name)
        pairs.append((pair[0], pair[1]))
    return tuple(pairs)
