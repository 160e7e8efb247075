"""Accelerator files that the package ships, and the loader that checks any such file."""

import os
from pathlib import Path

import msgspec

from accelerator_sim.accelerator import Accelerator
from accelerator_sim.targets.checks import problems_of
from accelerator_sim.targets.toml_table import toml_table
from graph_ir.errors import InputError
from graph_ir.text import reason_of

MAX_FILE_BYTES = 1 << 18

# Name of the target to the file beside this one.
TARGETS: dict[str, str] = {
    "nnp-i": "nnp-i.toml",
    "nnp-i-partitioned": "nnp-i-partitioned.toml",
    "nnp-i-1core": "nnp-i-1core.toml",
    "nnp-i-m2": "nnp-i-m2.toml",
    "tpu-v4i": "tpu-v4i.toml",
    "tpu-v5e": "tpu-v5e.toml",
    "nvdla-small": "nvdla-small.toml",
    "nvdla-full": "nvdla-full.toml",
    "hexagon-vtcm-8m": "hexagon-vtcm-8m.toml",
    "ane-m4": "ane-m4.toml",
    "imxrt1170": "imxrt1170.toml",
    "ethos-u55-128": "ethos-u55-128.toml",
    "ethos-u55-128-sram-only": "ethos-u55-128-sram-only.toml",
    "ethos-u55-256": "ethos-u55-256.toml",
    "ethos-u55-256-sram-only": "ethos-u55-256-sram-only.toml",
    "ethos-u65-512": "ethos-u65-512.toml",
    "ethos-u65-512-shared-sram": "ethos-u65-512-shared-sram.toml",
    "ethos-u65-512-sram-only": "ethos-u65-512-sram-only.toml",
    "ethos-u85-512": "ethos-u85-512.toml",
    "ethos-u85-512-shared-sram": "ethos-u85-512-shared-sram.toml",
    "ethos-u85-512-sram-only": "ethos-u85-512-sram-only.toml",
    "ethos-u85-2048": "ethos-u85-2048.toml",
    "ethos-u85-2048-shared-sram": "ethos-u85-2048-shared-sram.toml",
    "ethos-u85-2048-sram-only": "ethos-u85-2048-sram-only.toml",
}


def target_text(name_or_path: str) -> tuple[str, str]:
    """The TOML text of a shipped target or of a file, and where it came from.

    Raises:
        InputError: no such target or file, or the file cannot be read.
    """
    if name_or_path in TARGETS:
        path = Path(__file__).parent / TARGETS[name_or_path]
    elif name_or_path.endswith(".toml") or os.sep in name_or_path:
        path = Path(name_or_path)
    else:
        known = ", ".join(TARGETS)
        raise InputError(
            f"target {name_or_path}: unknown; expected one of {known}, or a .toml file"
        )
    try:
        if path.exists() and not path.is_file():
            raise InputError(f"{path}: expected a file")
        if path.stat().st_size > MAX_FILE_BYTES:
            raise InputError(f"{path}: expected at most {MAX_FILE_BYTES} bytes")
        return path.read_text("utf-8"), str(path)
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from error


def load_target(name_or_path: str) -> Accelerator:
    """Load and check an accelerator.

    Args:
        name_or_path: a key of `TARGETS`, or the path of a TOML file.

    Raises:
        InputError: naming file and key.
    """
    text, where = target_text(name_or_path)
    return parse_target(text, where)


def parse_target(text: str, where: str) -> Accelerator:
    """Parse and check the text of an accelerator file.

    Raises:
        InputError: naming `where` and the key.
    """
    try:
        accelerator = msgspec.convert(toml_table(text, where), Accelerator)
    except msgspec.ValidationError as error:
        raise InputError(f"{where}: {reason_of(error)}") from error
    for key, problem in problems_of(accelerator):
        raise InputError(f"{where}: {key}: {problem}")
    return accelerator
