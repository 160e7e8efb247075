"""Placers that have a file of hyper-parameters."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from egrl.placers.base import Placer
from graph_ir.errors import InputError


def _egrl_paper(path: Path) -> object:
    from egrl.agents.paper.config import load_config

    return load_config(path)


def _egrl(path: Path) -> object:
    from egrl.agents.egrl.config import load_config

    return load_config(path)


READERS: dict[str, Callable[[Path], object]] = {
    "egrl": _egrl,
    "egrl-paper": _egrl_paper,
}
"""What reads the file of a placer, whose field `config` takes what it gives."""


def read_placer_config(name: str, path: Path) -> object:
    """The hyper-parameters of a placer.

    Raises:
        InputError: the placer has none, or the file is wrong.
    """
    if name not in READERS:
        able = ", ".join(READERS)
        raise InputError(f"placer {name}: takes no --placer-config; expected one of {able}")
    return READERS[name](path)


def configured(placer: Placer, config: object) -> Placer:
    """The placer with these hyper-parameters; as it is where they are None."""
    if config is None:
        return placer
    # Only those of `READERS` come here, and all of them have the field.
    searcher: Any = placer
    result: Placer = replace(searcher, config=config)
    return result
