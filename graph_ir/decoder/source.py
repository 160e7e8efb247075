"""A decoder as an exporter wrote it: what its inputs mean, and what to feed it.

Axes: B batch (1 here), R rows (tokens of one call), P positions already in the caches,
T = P + R positions after it, C capacity of a cache that does not grow.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from graph_ir.decoder.decoder import POSITIONS
from graph_ir.errors import InputError
from graph_ir.text import quoted

Array = NDArray[np.generic]


class Meaning(Enum):
    """What an input tells the graph."""

    TOKENS = "tokens"
    MASK = "mask"
    POSITIONS = "positions"
    PAST = "number of positions in the caches"
    TOTAL = "number of positions after the call"
    LAST = "last position"
    ZEROS = "zeros"
    YES = "yes"
    CACHE = "cache"


# Names are what exporters agree on most; the first expression that fits a whole name decides.
_NAMES: tuple[tuple[str, Meaning], ...] = (
    (r"(decoder_)?input_ids|tokens?|token_ids|ids|inputs?", Meaning.TOKENS),
    (r".*mask.*", Meaning.MASK),
    (
        r"cache_positions?|position_ids|(source_)?positions?|input_pos(itions?)?|pos(_ids)?",
        Meaning.POSITIONS,
    ),
    (r"(past|cache|past_key_values|past_sequence|past_seq)_?(len|length)s?", Meaning.PAST),
    (r"(cache_)?write_ind(ex|ices)|start_pos(ition)?", Meaning.PAST),
    (r"total_seq(uence)?_len(gth)?s?|total_len(gth)?|(nonpad_)?kv_seq_?lens?", Meaning.TOTAL),
    (r"seqlens_k|sequence_lengths_minus_1", Meaning.LAST),
    (r"token_type_ids|num_logits_to_keep|logits_to_keep", Meaning.ZEROS),
    (r"use_cache_branch|use_cache", Meaning.YES),
)


_PRECISIONS = {"float64": 2.0**-52, "float32": 2.0**-23, "float16": 2.0**-10, "bfloat16": 2.0**-7}


@dataclass(frozen=True, slots=True)
class Call:
    """How large one call is.

    Attributes:
        rows: tokens of the call.
        past: positions that the caches hold before it.
        capacity: positions that caches have room for that do not grow.
    """

    rows: int
    past: int
    capacity: int = 0

    @property
    def total(self) -> int:
        """Positions after the call."""
        return self.past + self.rows


@dataclass(frozen=True, slots=True)
class CacheInput:
    """A cache among the inputs.

    Attributes:
        axis: of its positions.
        grows: whether the call appends to it; otherwise it has a capacity.
    """

    axis: int
    grows: bool


def meaning_of(value: ir.Value, path: str) -> Meaning:
    """What an input means.

    Raises:
        InputError: its name and type say nothing that is known.
    """
    name = value.name or ""
    if value.dtype is not None and value.dtype.is_floating_point():
        is_mask = "mask" in name.lower() and (value.shape is None or len(value.shape) in (2, 4))
        return Meaning.MASK if is_mask else Meaning.CACHE
    for pattern, meaning in _NAMES:
        if re.fullmatch(pattern, name.lower()):
            return meaning
    raise InputError(
        f"{path}: input {quoted(name)}: expected tokens, an attention mask, positions, lengths or "
        "caches, and its name is none of theirs"
    )


def feeds_of(
    inputs: Sequence[ir.Value],
    call: Call,
    tokens_R: NDArray[np.int64],
    caches: Mapping[str, CacheInput],
    random: np.random.Generator | None,
    path: str,
) -> dict[str, Array]:
    """Inputs of one call.

    Args:
        inputs: the graph's inputs.
        call: how large it is.
        tokens_R: tokens.
        caches: by name of the input.
        random: for the noise that the caches hold; zeros without it.
        path: for messages.

    Raises:
        InputError: an input that is not understood, or an extent that nothing tells.
    """
    feeds: dict[str, Array] = {}
    for value in inputs:
        name = value.name or ""
        cache = caches.get(name)
        if name == POSITIONS and value.shape is not None and len(value.shape) == 1:
            feeds[name] = np.arange(call.past, call.total).astype(_numpy_type(value))
        elif cache is not None:
            shape = _cache_shape(value, call, cache, path)
            content = np.zeros(shape) if random is None else 0.5 * random.standard_normal(shape)
            feeds[name] = content.astype(_numpy_type(value))
        else:
            feeds[name] = _plain_feed(value, meaning_of(value, path), call, tokens_R, path)
    return feeds


def precision_of(kind: np.dtype) -> float:
    """The step between 1 and the next larger number of a type of floats."""
    return _PRECISIONS.get(kind.name, 2.0**-23)


def _numpy_type(value: ir.Value) -> np.dtype:
    assert value.dtype is not None, value
    return value.dtype.numpy()


def _cache_shape(value: ir.Value, call: Call, cache: CacheInput, path: str) -> tuple[int, ...]:
    assert value.shape is not None, value
    shape = []
    for axis, extent in enumerate(value.shape):
        if axis == cache.axis:
            room = extent if isinstance(extent, int) else call.capacity
            shape.append(call.past if cache.grows else room)
        elif isinstance(extent, int):
            shape.append(extent)
        elif axis == 0 or "batch" in str(extent):
            shape.append(1)
        else:
            raise InputError(
                f"{path}: input {quoted(value.name or '')}: expected a fixed extent of its axis "
                f"{axis}, got {extent}"
            )
    return tuple(shape)


def _plain_feed(
    value: ir.Value, meaning: Meaning, call: Call, tokens_R: NDArray[np.int64], path: str
) -> Array:
    kind = _numpy_type(value)
    rank = 0 if value.shape is None else len(value.shape)
    match meaning:
        case Meaning.TOKENS:
            return tokens_R.reshape((1,) * (rank - 1) + (-1,)).astype(kind)
        case Meaning.POSITIONS:
            positions = np.arange(call.past, call.total)
            return positions.reshape((1,) * (rank - 1) + (-1,)).astype(kind)
        case Meaning.MASK:
            return _mask(value, call, kind)
        case Meaning.PAST:
            return np.full((1,) * rank, call.past).astype(kind)
        case Meaning.TOTAL:
            return np.full((1,) * rank, call.total).astype(kind)
        case Meaning.LAST:
            return np.full((1,) * rank, call.total - 1).astype(kind)
        case Meaning.ZEROS:
            wide = rank == 2  # one for each token
            return np.zeros((1, call.rows) if wide else (1,) * rank, kind)
        case Meaning.YES:
            return np.ones((1,) * rank, kind)
        case Meaning.CACHE:
            raise InputError(
                f"{path}: input {quoted(value.name or '')}: expected a cache of an attention, "
                "but no recognised attention appends to it or writes into it"
            )


def _mask(value: ir.Value, call: Call, kind: np.dtype) -> Array:
    """Everything is a token; with four axes the mask says itself what is causal."""
    assert value.shape is not None, value
    last = value.shape[-1]
    width = last if isinstance(last, int) and last > call.total else call.total
    if len(value.shape) != 4:
        mask = np.zeros((1, width), kind)
        mask[:, : call.total] = 1
        return mask
    ahead = np.arange(width) > np.arange(call.past, call.total)[:, None]
    if kind.kind == "f":
        return np.where(ahead, np.finfo(kind).min, 0.0).astype(kind)[None, None]
    return (~ahead).astype(kind)[None, None]
