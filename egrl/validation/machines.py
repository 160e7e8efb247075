"""The reference machines: accelerator files of `accelerators/`, with the numbers of a row put in.

A file is a template of Python's `string.Template`; what comes out is parsed and checked like any
accelerator file.
"""

from functools import lru_cache
from pathlib import Path
from string import Template

from accelerator_sim.accelerator import Accelerator
from accelerator_sim.targets import parse_target

FOLDER = Path(__file__).parent / "accelerators"


@lru_cache(maxsize=1024)
def machine(name: str, values: tuple[tuple[str, object], ...] = ()) -> Accelerator:
    """An accelerator of `accelerators/NAME.toml`.

    Args:
        name: of the file.
        values: what is put in for `$name`, as pairs.

    Raises:
        InputError: the numbers make no accelerator.
    """
    path = FOLDER / f"{name}.toml"
    filled = ", ".join(f"{key}={value}" for key, value in values)
    text = Template(path.read_text("utf-8")).substitute(dict(values))
    return parse_target(text, f"{path.name} ({filled})" if filled else path.name)
