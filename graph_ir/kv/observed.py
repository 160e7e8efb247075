"""What is seen of a prompt's queries: states beside the caches, by which positions are chosen.

SnapKV (arXiv 2404.14469, section 4) calls the last of them the observation window.
"""

import onnx_ir as ir

from graph_ir.decoder.decoder import Decoder
from graph_ir.kv.query_statistics import Statistics
from graph_ir.kv.scores import query_states
from graph_ir.kv.scoring import OBSERVED, Observed, Scoring
from graph_ir.kv.slots import Step
from graph_ir.kv.static_body import PROMPT_PREFIX, Body


def observe(body: Body, decoder: Decoder, scoring: Scoring) -> list[tuple[ir.Value, ir.Value]]:
    """Writes the nodes that keep what a choice needs of the queries of all attentions.

    Args:
        body: not static yet; the states become inputs of its graph.
        decoder: whose attentions they are.
        scoring: by what positions are chosen.

    Returns:
        The states before and after the step: for each attention its last valid queries, or the
        statistics of all (`graph_ir.kv.scores.query_states`).
    """
    kept: _Last | Statistics
    kept = _Last(body.step) if isinstance(scoring, Observed) else Statistics(body.step, scoring)
    pairs: list[tuple[ir.Value, ir.Value]] = []
    for index, (attention, operands) in enumerate(zip(decoder.layers, body.operands, strict=True)):
        before = [
            ir.Value(
                name=f"{PROMPT_PREFIX}{index}.{state.part}",
                shape=ir.Shape(state.shape),
                type=ir.TensorType(state.data_type),
            )
            for state in query_states(attention, scoring)
        ]
        body.model.graph.inputs.extend(before)
        pairs += zip(before, kept.added(index, before, operands[0]), strict=True)
    return pairs


class _Last:
    """Of as many old rows and those of the step, the last that are no padding."""

    def __init__(self, step: Step) -> None:
        writer = self._writer = step.writer
        new = step.count if step.count is not None else writer.integers([1])
        self._last = writer.op("Add", writer.integers(range(OBSERVED)), new)

    def added(self, index: int, before: list[ir.Value], query_QRD: ir.Value) -> list[ir.Value]:
        """What is kept with the rows of a step."""
        del index
        writer = self._writer
        return [writer.gather(writer.concat([*before, query_QRD], 2), self._last, 2)]
