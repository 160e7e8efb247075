"""One sequence: its tokens and its caches."""

from collections.abc import Mapping, Sequence

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from graph_ir.errors import InputError
from runtime.generation.choosing import Choice, Prompt
from runtime.generation.step import BoundStep, StepGraph, empty_states

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
        choice: made of the first prompt, of which the caches then lack positions; further prompts
            are fed token by token. None where caches are the same for prompt and tokens.
        dropped: positions that the given states lack.

    Attributes:
        tokens: of the text so far, prompt and continuation.
        fed: how many of them the caches have seen.
        states: the caches by name of the graphs' input.
        dropped: positions that the caches lack.
        finish: why the last generation ended: `eos`, `length`, `context`; empty before.
    """

    def __init__(
        self,
        prefill: StepGraph,
        decode: StepGraph,
        tokens: Sequence[int] = (),
        fed: int = 0,
        states: Mapping[str, Array] | None = None,
        choice: Choice | None = None,
        dropped: int = 0,
    ) -> None:
        self.tokens = list(tokens)
        self.fed = fed
        self.finish = ""
        self._broken = False
        self._rows = prefill.rows
        self._graph = decode
        self._choice = choice
        self._prompt: Prompt | None = None
        # Pages of zeros take no memory before they are written.
        self._set(dict(states) if states is not None else empty_states(decode), dropped)
        if choice is None:
            self._prefill = BoundStep(prefill, self._bound)
        elif fed == 0:
            self._prompt = Prompt(prefill, choice)

    def _set(self, states: dict[str, Array], dropped: int) -> None:
        self.states, self.dropped = states, dropped
        self._bound = {n: ort.OrtValue.ortvalue_from_numpy(a) for n, a in states.items()}
        self._decode = BoundStep(self._graph, self._bound, dropped)

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
            rest, step = self._next()
            # The caches are changed in place: half a step cannot be taken back.
            self._broken = True
            logits_V = step.run(rest, self.fed)
            self.fed += len(rest)
            if self.fed == len(self.tokens):
                if self._prompt is not None:
                    self._set(*self._prompt.chosen(self._graph, self.fed))
                    self._prompt = None
                self._broken = False
                return logits_V
            self._broken = False

    def _next(self) -> tuple[list[int], BoundStep]:
        """What is fed next, and to which graph."""
        rest = self.tokens[self.fed : self.fed + self._rows]
        if self._prompt is not None:
            return rest, self._prompt.step
        few = len(rest) * _CHUNK_SHARE <= self._rows or len(rest) == 1
        if few or self._choice is not None:
            return rest[:1], self._decode
        return rest, self._prefill

    def most_positions(self, context: int) -> int:
        """How long it may become in a context; known once a prompt has been chosen from."""
        if self._choice is None or self._prompt is not None:
            return context
        return min(context, self._choice.slots + self.dropped)

    @property
    def whole(self) -> bool:
        """Whether its caches are those of its tokens."""
        return not self._broken and (self._prompt is None or self.fed == 0)
