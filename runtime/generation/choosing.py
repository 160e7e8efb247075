"""Choosing positions of a prompt: what happens between its last chunk and the first token.

A prompt is read into caches that keep all of it. The graph `select` makes of them those that tokens
are generated with, and they are given back.
"""

from dataclasses import dataclass

import numpy as np
import onnxruntime as ort

from graph_ir.errors import InputError
from runtime.execute import open_graph
from runtime.generation.record import SELECT, DecoderRecord
from runtime.generation.step import (
    DROPPED,
    PAST,
    Array,
    BoundStep,
    StateForm,
    StepGraph,
    empty_states,
)
from runtime.load import Artifact
from runtime.session import ORT_ERRORS, input_ports, one_line, output_ports


@dataclass(frozen=True, slots=True)
class Choice:
    """The graph that chooses, opened.

    Attributes:
        session: of onnxruntime.
        slots: positions that caches have room for afterwards.
    """

    session: ort.InferenceSession
    slots: int


def open_choice(artifact: Artifact, record: DecoderRecord, threads: int | None) -> Choice | None:
    """Open the graph that chooses; None where nothing is chosen.

    Raises:
        InputError: no such graph, or onnxruntime refuses it.
    """
    if not record.kv_keep:
        return None
    session = open_graph(artifact, SELECT, threads)
    return Choice(session, record.kv_keep + record.kv_growth)


def check_choice(choice: Choice | None, prefill: StepGraph, decode: StepGraph) -> None:
    """Compare the graph that chooses with those before and behind it.

    Raises:
        InputError: it does not make the states of the one out of those of the other.
    """
    if decode.lacks != (choice is not None) or prefill.lacks:
        raise InputError("decoder: expected a graph that chooses, and one that goes on from it")
    if choice is None:
        return
    inputs = {port.name: (port.dtype, port.shape) for port in input_ports(choice.session)}
    outputs = {port.name: (port.dtype, port.shape) for port in output_ports(choice.session)}
    number = (np.dtype(np.int64), (1,))
    read = {form.input: (form.dtype, form.shape) for form in prefill.states}
    made = {form.output: (form.dtype, form.shape) for form in decode.states}
    if inputs != {PAST: number, **read} or outputs != {DROPPED: number, **made}:
        raise InputError(
            f"decoder: {SELECT} does not make the states of one graph out of the other's"
        )
    if any(not _has_slots(form, choice.slots) for form in decode.states):
        raise InputError(f"decoder: expected caches of {choice.slots} positions")


def _has_slots(form: StateForm, slots: int) -> bool:
    """Whether a state is a cache of so many positions, or one number for each head."""
    extents = form.shape[2:]
    return bool(extents) and (extents[0] == slots or set(extents) == {1})


class Prompt:
    """A prompt that is being read.

    Args:
        prefill: the graph of many rows.
        choice: what follows it.

    Attributes:
        step: to feed it with.
    """

    def __init__(self, prefill: StepGraph, choice: Choice) -> None:
        self._choice = choice
        self._states = {
            name: ort.OrtValue.ortvalue_from_numpy(array)
            for name, array in empty_states(prefill).items()
        }
        self.step = BoundStep(prefill, self._states)

    def chosen(self, decode: StepGraph, past: int) -> tuple[dict[str, Array], int]:
        """The caches that tokens are generated with, and how many positions they lack.

        Args:
            decode: the graph whose caches they are.
            past: length of the prompt.

        Raises:
            InputError: onnxruntime fails.
        """
        after = empty_states(decode)
        dropped = np.zeros(1, np.int64)
        binding = self._choice.session.io_binding()
        binding.bind_cpu_input(PAST, np.array([past], np.int64))
        for name, value in self._states.items():
            binding.bind_ortvalue_input(name, value)
        for form in decode.states:
            value = ort.OrtValue.ortvalue_from_numpy(after[form.input])
            binding.bind_ortvalue_output(form.output, value)
        binding.bind_ortvalue_output(DROPPED, ort.OrtValue.ortvalue_from_numpy(dropped))
        try:
            self._choice.session.run_with_iobinding(binding)
        except ORT_ERRORS as error:
            raise InputError(f"onnxruntime failed: {one_line(error)}") from error
        return after, int(dropped[0])
