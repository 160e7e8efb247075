"""The last word on a normal form: its logits are those of the source, called token by token."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from graph_ir.compression.method import Execute, Runner
from graph_ir.decoder.decoder import LOGITS, POSITIONS, TOKENS
from graph_ir.decoder.source import Array, CacheInput, Call, feeds_of, precision_of
from graph_ir.errors import InputError
from graph_ir.text import quoted

_PROMPT, _TOKENS = 5, 9
_CAPACITY = 16
# Share of the logits' range; half floats are coarser by themselves.
_TOLERANCE = 1e-4
_TOLERANCE_EPS = 50.0


@dataclass(frozen=True, slots=True)
class Calls:
    """How a source is called.

    Attributes:
        execute: it.
        inputs: its inputs.
        caches: those among them that are caches, by name.
        next_of: by name of a cache input, the output that it is in the next call.
        logits: name of its output of logits.
        one_row: whether it takes one token at a time.
        path: its file, for messages.
    """

    execute: Execute
    inputs: tuple[ir.Value, ...]
    caches: Mapping[str, CacheInput]
    next_of: Mapping[str, str]
    logits: str
    one_row: bool
    path: str

    def run(self, tokens_R: NDArray[np.int64]) -> Array:
        """Logits `[R, vocabulary]`: of a prompt first, then token by token, with its caches.

        Raises:
            InputError: the engine refuses a call, or there are no logits of every token.
        """
        count = len(tokens_R)
        prompt = 1 if self.one_row else _PROMPT
        starts = [(0, prompt), *((at, at + 1) for at in range(prompt, count))]
        if not self.caches:
            starts = [(0, count)]
        held: dict[str, Array] = {}
        parts = []
        for start, end in starts:
            call = Call(end - start, start, _CAPACITY)
            ids_R = tokens_R[start:end]
            feeds = feeds_of(self.inputs, call, ids_R, self.caches, None, self.path)
            feeds.update(held)
            try:
                results = self.execute(feeds)
            except InputError as error:
                raise InputError(
                    f"{self.path}: {end - start} tokens after {start}: {error}"
                ) from error
            held = {name: results[output] for name, output in self.next_of.items()}
            logits = results[self.logits]
            if logits.size != (end - start) * logits.shape[-1]:
                raise InputError(
                    f"{self.path}: output {quoted(self.logits)}: expected logits of all "
                    f"{end - start} tokens of a call, got shape {list(logits.shape)}"
                )
            parts.append(logits.reshape(end - start, -1))
        return np.concatenate(parts)


def check_equality(model: ir.Model, source: Calls, vocabulary: int, runner: Runner) -> None:
    """Compares a normal form with its source.

    Raises:
        InputError: they differ, or the normal form takes one row only.
    """
    path = source.path
    tokens = np.asarray(np.random.default_rng(1).integers(0, vocabulary, _TOKENS), np.int64)
    wanted = source.run(tokens)
    execute = runner.open(model, [LOGITS])
    try:
        got = execute({TOKENS: tokens[None], POSITIONS: np.arange(_TOKENS)})[LOGITS]
    except InputError as error:
        if not source.one_row:
            raise InputError(f"{path}: its normal form: {error}") from error
        raise InputError(
            f"{path}: it takes one token at a time and cannot be widened to several ({error}); "
            "expected a graph whose number of tokens is free"
        ) from error
    spread = float(np.ptp(wanted)) or 1.0
    difference = float(np.abs(got.reshape(wanted.shape) - wanted.astype(np.float64)).max()) / spread
    precision = precision_of(wanted.dtype)
    if not difference <= max(_TOLERANCE, _TOLERANCE_EPS * precision):
        raise InputError(
            f"{path}: its normal form gives logits that differ by {difference:.2g} of their range "
            f"from the source's; expected at most {_TOLERANCE:g}: something in it depends on "
            "positions or caches in a way that was not recognised"
        )
