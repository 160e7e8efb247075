"""One sequence: its tokens and its caches."""

from collections.abc import Mapping, Sequence

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from graph_ir.errors import InputError
from runtime.generation.step import BoundStep, StepGraph

Array = NDArray[np.generic]

_CHUNK_SHARE = 8
"""Up to this part of a chunk is fed token by token: padding costs what tokens do. Measured on
SmolLM2-135M, one thread: a chunk of 128 takes as long as 16 tokens in float, 27 in int4."""


class TextSequence:
    """What has been read and written so far; each sequence has caches of its own.

    The last tokens may not have been fed yet: a token that was chosen is fed when the one after
    it is wanted.

    Args:
        prefill: the graph of many rows.
        decode: the graph of one row.
        tokens: of the text so far.
        fed: how many of them the caches have seen.
        states: the caches by name; zeros where None.

    Attributes:
        tokens: of the text so far, prompt and continuation.
        fed: how many of them the caches have seen.
        states: the caches by name of the graphs' input.
        finish: why the last generation ended: `eos`, `length`, `context`; empty before.
    """

    def __init__(
        self,
        prefill: StepGraph,
        decode: StepGraph,
        tokens: Sequence[int] = (),
        fed: int = 0,
        states: Mapping[str, Array] | None = None,
    ) -> None:
        self.tokens = list(tokens)
        self.fed = fed
        self.finish = ""
        # Pages of zeros take no memory before they are written.
        self.states: dict[str, Array] = dict(states) if states is not None else empty_states(decode)
        bound = {n: ort.OrtValue.ortvalue_from_numpy(a) for n, a in self.states.items()}
        self._rows = prefill.rows
        self._prefill = BoundStep(prefill, bound)
        self._decode = BoundStep(decode, bound)
        self._broken = False

    def advance(self) -> NDArray[np.floating]:
        """Feed what has not been fed; there must be something.

        Returns:
            The logits `[V]` of the token to come; overwritten by the next step.

        Raises:
            InputError: onnxruntime fails, or a step of this sequence was cut short before.
        """
        if self._broken:
            raise InputError("sequence: a step of it was interrupted, its caches are lost")
        assert self.fed < len(self.tokens), "nothing to feed"
        while True:
            rest = self.tokens[self.fed : self.fed + self._rows]
            few = len(rest) * _CHUNK_SHARE <= self._rows or len(rest) == 1
            rest, step = (rest[:1], self._decode) if few else (rest, self._prefill)
            # The caches are changed in place: half a step cannot be taken back.
            self._broken = True
            logits_V = step.run(rest, self.fed)
            self.fed += len(rest)
            self._broken = False
            if self.fed == len(self.tokens):
                return logits_V

    @property
    def whole(self) -> bool:
        """Whether its caches are those of its tokens."""
        return not self._broken


def empty_states(graph: StepGraph) -> dict[str, Array]:
    """Caches that have seen nothing."""
    return {form.input: np.zeros(form.shape, form.dtype) for form in graph.states}
