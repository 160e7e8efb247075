"""Sequences in files: written in one step, tied to the artifact, read without trust.

An `.npz` file: the tokens, how many of them the caches have seen, the digest of the artifact's
graphs, weights and tokenizer, and the caches, each without the zeros at the end of its slots.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from graph_ir.errors import InputError
from graph_ir.text import quoted
from runtime.generation.record import TOKENIZER_FILE, DecoderRecord, step_graphs
from runtime.generation.step import StateForm
from runtime.manifest import WEIGHTS_FILE, Manifest, graph_files
from runtime.npz import read_inputs, write_outputs

SESSION_SCHEMA = 1
_SLOTS = 2

# Beside the caches: eight bytes a token, and a few small arrays.
_OWN_BYTES = 1 << 12

Array = NDArray[np.generic]


@dataclass(frozen=True, slots=True)
class Saved:
    """What a file holds; `dropped` positions are lacking in the caches where some were chosen."""

    tokens: tuple[int, ...]
    fed: int
    states: Mapping[str, Array]
    dropped: int = 0


def execution_digest(manifest: Manifest) -> str:
    """SHA-256 over what decides what is computed: graphs, weights, tokenizer; not the plans."""
    assert isinstance(manifest.decoder, DecoderRecord)
    names = [graph_files(graph)[0] for graph in step_graphs(manifest.decoder)]
    names += [name for name in (WEIGHTS_FILE, TOKENIZER_FILE) if name in manifest.files]
    lines = [f"{name} {manifest.files[name].sha256}\n" for name in names]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def save_sequence(path: Path, saved: Saved, digest: str) -> None:
    """Write a file, or leave what was there.

    Raises:
        InputError: it cannot be written.
    """
    arrays: dict[str, Array] = {
        "schema": np.array([SESSION_SCHEMA], np.int64),
        "artifact": np.frombuffer(bytes.fromhex(digest), np.uint8),
        "tokens": np.array(saved.tokens, np.int64),
        "fed": np.array([saved.fed], np.int64),
    }
    if saved.dropped:
        arrays["dropped"] = np.array([saved.dropped], np.int64)
    for name, state in saved.states.items():
        arrays[f"state:{name}"] = _shortened(state)
    write_outputs(path, arrays)


def read_sequence(
    path: Path,
    digest: str,
    forms: tuple[StateForm, ...],
    vocabulary: int,
    context: int,
    keep: int = 0,
) -> Saved:
    """Read a file.

    Args:
        path: of the file.
        digest: of the artifact that is to go on with it.
        forms: of the artifact's caches.
        vocabulary: number of tokens.
        context: positions that a sequence may have.
        keep: positions that are chosen of a prompt; 0 where nothing is chosen.

    Raises:
        InputError: not a saved session, of another artifact, or a damaged one.
    """
    most_bytes = sum(form.size_bytes for form in forms) + 8 * (context + 1) + _OWN_BYTES
    most_bytes += 1024 * (len(forms) + 4)  # headers
    arrays = read_inputs(path, most_bytes)
    schema = _numbers(path, arrays, "schema", 1)[0]
    if schema != SESSION_SCHEMA:
        raise InputError(f"{path}: unknown schema: expected {SESSION_SCHEMA}, got {schema}")
    carried = _array(path, arrays, "artifact")
    found = carried.tobytes().hex() if carried.dtype == np.uint8 else ""
    if found != digest:
        raise InputError(
            f"{path}: the session is of another artifact: expected {digest[:16]}, got {found[:16]}"
        )
    tokens = _numbers(path, arrays, "tokens")
    (fed,) = _numbers(path, arrays, "fed", 1)
    if not len(tokens) <= context + 1 or not 0 <= fed <= min(len(tokens), context):
        raise InputError(f"{path}: damaged: {fed} of {len(tokens)} tokens in {context} positions")
    dropped = _dropped(path, arrays, forms, fed, keep)
    if any(not 0 <= token < vocabulary for token in tokens):
        raise InputError(f"{path}: damaged: a token beyond the vocabulary of {vocabulary}")
    states = {}
    for form in forms:
        states[form.input] = _lengthened(path, form, _array(path, arrays, f"state:{form.input}"))
    return Saved(tuple(tokens), fed, states, dropped)


def _dropped(
    path: Path, arrays: Mapping[str, Array], forms: tuple[StateForm, ...], fed: int, keep: int
) -> int:
    """Positions that the caches lack."""
    dropped = _numbers(path, arrays, "dropped", 1)[0] if "dropped" in arrays else 0
    # Beside the caches there may be a number for each head.
    slots = max((form.shape[_SLOTS] for form in forms), default=0) if keep else 0
    held = fed - dropped
    if dropped < 0 or (dropped and held < max(1, keep)) or (keep and held > slots):
        raise InputError(f"{path}: damaged: {dropped} of {fed} positions dropped")
    if dropped and not keep:
        raise InputError(f"{path}: damaged: nothing is dropped by this artifact")
    return dropped


def _shortened(state: Array) -> Array:
    """A cache without the slots at the end that hold nothing but zeros."""
    if state.ndim <= _SLOTS:
        return state
    axes = tuple(axis for axis in range(state.ndim) if axis != _SLOTS)
    filled = np.flatnonzero(state.any(axis=axes))
    return state[:, :, : int(filled[-1]) + 1 if filled.size else 0]


def _lengthened(path: Path, form: StateForm, stored: Array) -> Array:
    wanted = list(form.shape)
    if len(wanted) > _SLOTS and stored.ndim == len(wanted):
        wanted[_SLOTS] = min(wanted[_SLOTS], stored.shape[_SLOTS])
    if stored.dtype != form.dtype or list(stored.shape) != wanted:
        raise InputError(
            f"{path}: damaged: cache {quoted(form.input)}: expected {form.dtype} "
            f"{list(form.shape)}, got {stored.dtype} {list(stored.shape)}"
        )
    if stored.dtype.kind == "f" and not np.isfinite(stored).all():
        raise InputError(f"{path}: damaged: cache {quoted(form.input)}: not finite")
    state = np.zeros(form.shape, form.dtype)
    state[tuple(slice(extent) for extent in stored.shape)] = stored
    return state


def _array(path: Path, arrays: Mapping[str, Array], name: str) -> Array:
    if name not in arrays:
        raise InputError(f"{path}: not a saved session: it has no {name!r}")
    return arrays[name]


def _numbers(
    path: Path, arrays: Mapping[str, Array], name: str, count: int | None = None
) -> list[int]:
    array = _array(path, arrays, name)
    if array.dtype != np.int64 or array.ndim != 1 or (count is not None and len(array) != count):
        raise InputError(f"{path}: damaged: {name!r} has another form")
    return [int(number) for number in array.tolist()]
