"""Given tokens run through step graphs, caches bound in place: what quality is measured with.

Where positions of a prompt are chosen, it is read into caches of its own, and what is chosen of
them is what everything behind it is scored with.

Shape suffixes: N tokens, V vocabulary.
"""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx_ir as ir
import onnxruntime as ort
from numpy.typing import NDArray

from graph_ir.decoder.decoder import LOGITS, TOKENS, Decoder
from graph_ir.kv.layout import KvLayout, prompt_layout
from graph_ir.kv.select import select_graph
from graph_ir.kv.static_body import DROPPED, PAST
from graph_ir.kv.step import prompt_graph, step_graph
from runtime.generation.states import STATES_KEY, parse_states
from runtime.manifest import Execution
from runtime.session import input_ports, make_session, output_ports

F32 = NDArray[np.float32]
Ids = NDArray[np.int64]
Caches = dict[str, NDArray[np.generic]]

PROMPT_ROWS = 128
SCORED_ROWS = 32
"""Rows of a step: of the prompt and of what is predicted; no more than a window has."""


def with_stored_weights(decoder: Decoder, folder: Path) -> Decoder:
    """The same decoder with its weights in one file of a folder, for sessions to map."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "decoder.onnx"
    ir.save(decoder.model, path, external_data="weights.data", size_threshold_bytes=4096)
    return replace(decoder, model=ir.load(path))


@dataclass(frozen=True, slots=True)
class _Graph:
    """One step graph on buffers that it shares with others."""

    session: ort.InferenceSession
    binding: ort.IOBinding
    rows: int
    logits_1NV: F32
    lacks: bool


class Scorer:
    """A decoder with the caches of a layout."""

    def __init__(self, decoder: Decoder, layout: KvLayout, folder: Path) -> None:
        """Opens the graphs.

        Args:
            decoder: its weights are in a file of `folder`.
            layout: of the caches.
            folder: where the graphs are written.
        """
        layers = prompt_layout(layout).layers
        smallest = min(g.most_rows(layout.context) for groups in layers for g in groups)
        scored = min(SCORED_ROWS, smallest, layout.growth or smallest)
        self._folder = folder
        self._caches: Caches = {}
        self._whole: Caches = {} if layout.keep else self._caches
        self._select: ort.InferenceSession | None = None
        make = prompt_graph if layout.keep else step_graph
        prompt = make(decoder, layout, min(PROMPT_ROWS, smallest), "onnxruntime", "last")
        self._prompt = self._open(prompt, self._whole, "last")
        score = step_graph(decoder, layout, scored, "onnxruntime", "all")
        self._scored = self._open(score, self._caches, "all")
        if layout.keep:
            path = folder / "select.onnx"
            ir.save(select_graph(decoder, layout), path)
            self._select = make_session(path, Execution(), 1)
        self.past = 0
        self._dropped = 0

    def _open(self, model: ir.Model, caches: Caches, logits: str) -> _Graph:
        path = self._folder / f"step-{logits}.onnx"
        ir.save(model, path)
        session = make_session(path, Execution(), 1)
        pairs = parse_states(model.metadata_props.get(STATES_KEY), str(path))
        ports = {port.name: port for port in input_ports(session)}
        binding = session.io_binding()
        for given, made in pairs:
            port = ports[given]
            known = caches.setdefault(given, np.zeros(port.shape, port.dtype))
            value = ort.OrtValue.ortvalue_from_numpy(known)
            binding.bind_ortvalue_input(given, value)
            binding.bind_ortvalue_output(made, value)
        made_ports = {port.name: port for port in output_ports(session)}
        logits_1NV = np.zeros(made_ports[LOGITS].shape, np.float32)
        rows = ports[TOKENS].shape[1]
        binding.bind_ortvalue_output(LOGITS, ort.OrtValue.ortvalue_from_numpy(logits_1NV))
        return _Graph(session, binding, rows, logits_1NV, DROPPED in ports)

    def reset(self) -> None:
        """Forget everything."""
        for cache in (*self._caches.values(), *self._whole.values()):
            cache[...] = 0
        self.past = self._dropped = 0

    def snapshot(self) -> tuple[Caches, int, int]:
        """What the caches hold, to come back to."""
        copies = {name: cache.copy() for name, cache in self._caches.items()}
        return copies, self.past, self._dropped

    def restore(self, saved: tuple[Caches, int, int]) -> None:
        """Come back to a snapshot."""
        caches, self.past, self._dropped = saved
        for name, cache in self._caches.items():
            cache[...] = caches[name]

    def read(self, ids_N: Ids) -> None:
        """Takes a prompt in, whole: what is chosen of it is chosen now."""
        for _ in self._steps(self._prompt, ids_N):
            pass
        if self._select is None:
            return
        feeds = {PAST: np.array([self.past], np.int64), **self._whole}
        names = [port.name for port in output_ports(self._select)]
        for name, array in zip(names, self._select.run(names, feeds), strict=True):
            if name == DROPPED:
                self._dropped = int(array[0])
            else:
                self._caches[name.replace("next.", "cache.", 1)][...] = array

    def score(self, ids_N: Ids) -> Iterator[F32]:
        """Takes tokens in and gives the logits [rows, V] after them, a step at a time.

        They are overwritten by the next step.
        """
        return self._steps(self._scored, ids_N)

    def _steps(self, graph: _Graph, ids_N: Ids) -> Iterator[F32]:
        for start in range(0, len(ids_N), graph.rows):
            part = ids_N[start : start + graph.rows]
            tokens = np.zeros((1, graph.rows), np.int64)
            tokens[0, : len(part)] = part
            binding = graph.binding
            binding.bind_cpu_input(TOKENS, tokens)
            binding.bind_cpu_input("past_length", np.array([self.past], np.int64))
            if graph.rows > 1:
                binding.bind_cpu_input("count", np.array([len(part)], np.int64))
            if graph.lacks:
                binding.bind_cpu_input(DROPPED, np.array([self._dropped], np.int64))
            graph.session.run_with_iobinding(binding)
            self.past += len(part)
            yield graph.logits_1NV[0, : len(part)]


def clear(folder: Path) -> None:
    """Removes what the graphs were written to."""
    shutil.rmtree(folder, ignore_errors=True)
