"""The last word on a normal form: its logits are those of the source, called token by token."""

from collections.abc import Mapping, Sequence

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from graph_ir.compression.method import Runner
from graph_ir.decoder.decoder import LOGITS, POSITIONS, TOKENS
from graph_ir.decoder.observe import Observation
from graph_ir.decoder.source import Array, CacheInput, Call, feeds_of, precision_of
from graph_ir.errors import InputError

_PROMPT, _TOKENS = 5, 9
_CAPACITY = 16
# Share of the logits' range; half floats are coarser by themselves.
_TOLERANCE = 1e-4
_TOLERANCE_EPS = 50.0


def source_logits(
    inputs: Sequence[ir.Value],
    seen: Observation,
    caches: Mapping[str, CacheInput],
    next_of: Mapping[str, str],
    logits: str,
    tokens_R: NDArray[np.int64],
    path: str,
) -> Array:
    """Logits `[R, vocabulary]` of the source: a prompt first, then token by token, with its caches.

    Raises:
        InputError: the engine refuses a call.
    """
    count = len(tokens_R)
    if not caches:
        starts = [(0, count)]
    else:
        prompt = 1 if seen.one_row else _PROMPT
        starts = [(0, prompt), *((at, at + 1) for at in range(prompt, count))]
    random = np.random.default_rng(0)
    held: dict[str, Array] = {}
    parts = []
    for start, end in starts:
        call = Call(end - start, start, _CAPACITY)
        feeds = feeds_of(inputs, call, tokens_R[start:end], caches, random, path)
        feeds.update(held)
        results = seen.execute(feeds)
        held = {name: results[output] for name, output in next_of.items()}
        parts.append(results[logits].reshape(end - start, -1))
    return np.concatenate(parts)


def check_equality(
    model: ir.Model,
    inputs: Sequence[ir.Value],
    seen: Observation,
    caches: Mapping[str, CacheInput],
    next_of: Mapping[str, str],
    logits: str,
    vocabulary: int,
    runner: Runner,
    path: str,
) -> None:
    """Compares a normal form with its source.

    Raises:
        InputError: they differ, or the normal form takes one row only.
    """
    tokens = np.random.default_rng(1).integers(0, vocabulary, _TOKENS)
    wanted = source_logits(inputs, seen, caches, next_of, logits, tokens, path)
    execute = runner.open(model, [LOGITS])
    try:
        got = execute({TOKENS: tokens[None], POSITIONS: np.arange(_TOKENS)})[LOGITS][0]
    except InputError as error:
        if not seen.one_row:
            raise
        raise InputError(
            f"{path}: it takes one token at a time and cannot be widened to several ({error}); "
            "expected a graph whose number of tokens is free"
        ) from error
    spread = float(np.ptp(wanted)) or 1.0
    difference = float(np.abs(got.astype(np.float64) - wanted).max()) / spread
    precision = precision_of(wanted.dtype)
    if not difference <= max(_TOLERANCE, _TOLERANCE_EPS * precision):
        raise InputError(
            f"{path}: its normal form gives logits that differ by {difference:.2g} of their range "
            f"from the source's; expected at most {_TOLERANCE:g}: something in it depends on "
            "positions or caches in a way that was not recognised"
        )
