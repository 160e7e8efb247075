"""Step graphs in onnxruntime: a prompt in chunks, then token by token."""

import json

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort

from graph_ir.kv.operator import STATES
from graph_ir.kv.step import step_graph


def open_session(model):
    proto = ir.serde.serialize_model(model)
    onnx.checker.check_model(proto)
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return ort.InferenceSession(proto.SerializeToString(), options, ["CPUExecutionProvider"])


class Steps:
    """Prefill and decode of one sequence.

    Args:
        decoder: in normal form.
        layout: what is kept.
        rows: of a chunk.
        form: of the graphs.
        logits: `last` or `all`.
        in_place: whether states before and after share memory.
        fill: what states begin as.
    """

    def __init__(
        self, decoder, layout, rows, form="standard", logits="last", in_place=False, fill=0.0
    ):
        models = [step_graph(decoder, layout, count, form, logits) for count in (rows, 1)]
        self.rows, self.in_place, self.length = rows, in_place, 0
        self.chunks, self.decode = (open_session(model) for model in models)
        self.pairs = json.loads(models[1].metadata_props[STATES])
        assert self.pairs == json.loads(models[0].metadata_props[STATES])
        self.states = {}
        for value in models[1].graph.inputs:
            if (value.name or "").startswith("cache."):
                array = np.full(tuple(value.shape), fill, value.dtype.numpy())
                self.states[value.name] = ort.OrtValue.ortvalue_from_numpy(array)
        assert list(self.states) == [before for before, _ in self.pairs]

    def token(self, token):
        """One row; its logits."""
        return self._run(self.decode, np.array([[token]]), {})[0]

    def chunk(self, tokens):
        """At most `rows` rows, padded; the logits of the valid ones (of the last one)."""
        count = len(tokens)
        ids = np.full((1, self.rows), tokens[0])
        ids[0, :count] = tokens
        logits = self._run(self.chunks, ids, {"count": np.array([count])})
        self.length += count - 1
        return logits[:count]

    def _run(self, session, ids, feeds):
        binding = session.io_binding()
        feeds = {"input_ids": ids, "past_length": np.array([self.length]), **feeds}
        names = {value.name for value in session.get_inputs()}
        for name, array in feeds.items():
            if name in names:
                binding.bind_cpu_input(name, array.astype(np.int64))
        binding.bind_output("logits")
        for before, after in self.pairs:
            binding.bind_ortvalue_input(before, self.states[before])
            if self.in_place:
                binding.bind_ortvalue_output(after, self.states[before])
            else:
                binding.bind_output(after)
        session.run_with_iobinding(binding)
        outputs = binding.get_outputs()
        if not self.in_place:
            self.states = dict(zip(self.states, outputs[1:], strict=True))
        self.length += 1
        return outputs[0].numpy()[0]


def run(steps, tokens, prompt):
    """Logits of all tokens: a prompt in chunks, the rest one by one."""
    rows = []
    for start in range(0, prompt, steps.rows):
        rows += [*steps.chunk(tokens[start : min(start + steps.rows, prompt)])]
    return np.array(rows + [steps.token(token) for token in tokens[prompt:]])
