"""A checkpoint: `state.json`, and the tensors that it names by their digest.

The tensors are written to a new file; replacing `state.json` makes them the checkpoint. So whatever
moment a run is killed at, what is there is the old checkpoint or the new one, whole.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from graph_ir.errors import InputError

SCHEMA = 1
STATE = "state.json"
MAX_STATE_BYTES = 256 << 20
Array = NDArray[Any]


class TensorFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the tensors are."""

    name: str
    sha256: str


class State(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is no tensor.

    Attributes:
        schema: of this file.
        agent: whose state it is.
        problem: digest of workload and accelerator.
        config: digest of what decides the result.
        generation: how many are done.
        evaluations: used so far.
        best_s: of the incumbent, or None.
        curve: (evaluations, latency in seconds) whenever the best improved.
        rng: state of the numpy generator.
        facts: the agent's.
        metrics_bytes: of `metrics.jsonl` that belong to these generations.
        timing_bytes: likewise of `timing.jsonl`.
        tensors: their file.
    """

    schema: int
    agent: str
    problem: str
    config: str
    generation: int
    evaluations: int
    best_s: float | None
    curve: list[tuple[int, float]]
    rng: dict[str, Any]
    facts: dict[str, Any]
    metrics_bytes: int
    timing_bytes: int
    tensors: TensorFile = TensorFile("", "")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A state and its tensors."""

    state: State
    arrays: dict[str, Array]


def write_checkpoint(folder: Path, state: State, arrays: Mapping[str, Array]) -> None:
    """Make this the checkpoint of the folder.

    Raises:
        OSError: it cannot be written; the old one is still there.
    """
    folder.mkdir(exist_ok=True)
    data = save({name: np.ascontiguousarray(a).reshape(a.shape) for name, a in arrays.items()})
    digest = hashlib.sha256(data).hexdigest()
    name = f"tensors-{state.generation:06d}-{digest[:12]}.safetensors"
    write_synced(folder / name, data)
    named = msgspec.structs.replace(state, tensors=TensorFile(name, digest))
    text = json.dumps(msgspec.to_builtins(named), indent=1) + "\n"
    new = folder / f"{STATE}.new"
    write_synced(new, text.encode())
    new.replace(folder / STATE)
    _sync(folder)
    for path in sorted(folder.glob("tensors-*.safetensors")):
        if path.name != name:
            path.unlink()


def has_checkpoint(folder: Path) -> bool:
    """Whether a run has kept one."""
    return (folder / STATE).exists()


def read_checkpoint(folder: Path) -> Checkpoint:
    """Read and check a checkpoint.

    Raises:
        InputError: it cannot be read, or is not as it was written.
    """
    path = folder / STATE
    try:
        if path.stat().st_size > MAX_STATE_BYTES:
            raise InputError(f"{path}: expected at most {MAX_STATE_BYTES} bytes")
        found = json.loads(path.read_bytes())
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: damaged: {error}") from error
    schema = found.get("schema") if isinstance(found, dict) else None
    if schema != SCHEMA:
        raise InputError(f"{path}: schema: expected {SCHEMA}, got {schema!a:.40}")
    try:
        state = msgspec.convert(found, State)
    except msgspec.ValidationError as error:
        raise InputError(f"{path}: {error}") from error
    name = state.tensors.name
    if Path(name).name != name or not name.endswith(".safetensors"):
        raise InputError(f"{path}: tensors: expected a file of this folder, got {name!a:.80}")
    return Checkpoint(state, _tensors(folder / name, state.tensors.sha256))


def write_synced(path: Path, data: bytes) -> None:
    """Write a file, and have it on the disk."""
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _tensors(path: Path, sha256: str) -> dict[str, Array]:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    if hashlib.sha256(data).hexdigest() != sha256:
        raise InputError(f"{path}: damaged: expected the SHA-256 that {STATE} says")
    try:
        arrays: dict[str, Array] = load(data)
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: damaged: {' '.join(str(error).split())}") from error
    # The agent goes on writing to what it is given.
    return {name: array.copy() for name, array in arrays.items()}


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
