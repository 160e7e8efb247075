"""Both step graphs of a decoder on caches in place."""

import json

import numpy as np
import onnx_ir as ir
import onnxruntime as ort
from numpy.typing import NDArray

from graph_ir.decoder.decoder import LOGITS, TOKENS, Decoder
from graph_ir.kv.layout import KvLayout
from graph_ir.kv.operator import STATES
from graph_ir.kv.static_body import COUNT, PAST
from graph_ir.kv.step import Form, step_graph
from runtime.manifest import Execution
from runtime.session import make_session

Ids = NDArray[np.int64]


class Steps:
    """A sequence of a small decoder."""

    def __init__(self, decoder: Decoder, layout: KvLayout, rows: int, form: Form) -> None:
        """Args: decoder; what is kept; rows of a chunk; by which operators."""
        self._rows, self._past = rows, 0
        models = [step_graph(decoder, layout, count, form, "all") for count in (rows, 1)]
        self._sessions = [
            make_session(ir.serde.serialize_model(model).SerializeToString(), Execution(), 1)
            for model in models
        ]
        self._pairs: list[list[str]] = json.loads(models[1].metadata_props[STATES])
        self._states = {}
        for value in models[1].graph.inputs[-len(self._pairs) :]:
            assert value.dtype is not None, value
            assert value.shape is not None, value
            array = np.zeros(value.shape.numpy(), value.dtype.numpy())
            self._states[value.name or ""] = ort.OrtValue.ortvalue_from_numpy(array)

    def outputs(self, ids: Ids, prompt: int) -> NDArray[np.float32]:
        """Logits [tokens, V] of a sequence whose first tokens are read in chunks."""
        parts = []
        for start in range(0, prompt, self._rows):
            part = ids[start : min(start + self._rows, prompt)]
            padded = np.zeros(self._rows, np.int64)
            padded[: len(part)] = part
            parts.append(self._step(self._sessions[0], padded, len(part)))
        parts += [
            self._step(self._sessions[1], ids[at : at + 1], 1) for at in range(prompt, len(ids))
        ]
        return np.concatenate(parts)

    def _step(self, session: ort.InferenceSession, ids: Ids, count: int) -> NDArray[np.float32]:
        binding = session.io_binding()
        feeds = {TOKENS: ids[None], PAST: np.array([self._past])}
        if len(ids) > 1:
            feeds[COUNT] = np.array([count])
        for name, array in feeds.items():
            binding.bind_cpu_input(name, array)
        binding.bind_output(LOGITS)
        for before, after in self._pairs:
            binding.bind_ortvalue_input(before, self._states[before])
            binding.bind_ortvalue_output(after, self._states[before])
        session.run_with_iobinding(binding)
        self._past += count
        logits: NDArray[np.float32] = binding.get_outputs()[0].numpy()[0, :count]
        return logits.copy()
