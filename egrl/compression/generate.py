"""Calibration inputs that a causal language model makes up itself.

A prompt of random tokens continued by sampling would take one run a token. Instead all positions
are sampled at once, from the distributions that the model gives for the sequence so far, again and
again with the same random numbers: a fixed-point (Jacobi) iteration, whose limit is a sequence
sampled from the model token by token, since after i rounds the first i tokens are final. A few
rounds are enough for neighbouring tokens to fit together, which is what a layer's inputs show, at
a temperature at which a token does not hang on every word before it (of SmolLM2's tokens 57 % are
final after 6 rounds at 0.6, and as likely under the model as those of real text; at 1, 46 % and a
hundred times less likely).
"""

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from egrl.compression.inputs import CalibrationInputs, draw_inputs, table_rows
from egrl.compression.recipe import Recipe
from egrl.compression.runner import OnnxRuntimeRunner
from graph_ir.compression.method import Feeds, Runner
from graph_ir.onnx_values import shape_of, value_name

ROUNDS = 8
SAMPLES = 16
"""Of a few hundred tokens each: fewer leave second moments of a thousand channels to chance."""

TEMPERATURE = 0.6
_TINY = np.float32(1e-30)


@dataclass(frozen=True, slots=True)
class TokenPorts:
    """Where a language model takes tokens and gives their continuation.

    Attributes:
        tokens: name of the integer input `[B, S]`.
        logits: name of the output `[B, S, V]`.
        vocabulary: V.
    """

    tokens: str
    logits: str
    vocabulary: int


def learned_from(
    model: ir.Model, recipe: Recipe, calibration: CalibrationInputs
) -> CalibrationInputs:
    """The inputs that a compression may learn from.

    A person's where there are any; else, if one of its parts looks at inputs, such as the model
    made up itself, or more drawn ones where it is no language model.
    """
    if calibration.given or not recipe.needs_inputs:
        return calibration
    made_up = generate_inputs(model, OnnxRuntimeRunner(), calibration.seed)
    return made_up or draw_inputs(model.graph, calibration.seed, SAMPLES)


def token_ports(graph: ir.Graph) -> TokenPorts | None:
    """The ports of what looks like a language model; None for other graphs.

    It has one integer input `[B, S]` that looks up a table of V rows, and one float output
    `[B, S, V]`.
    """
    found = []
    for value in graph.inputs:
        rows = table_rows(value)
        if rows is None or value.dtype is None or not value.dtype.is_integer():
            continue
        shape = shape_of(value)
        if len(shape) == 2 and shape[1] > 1:
            outputs = [v for v in graph.outputs if shape_of(v) == (*shape, rows)]
            found += [TokenPorts(value_name(value), value_name(v), rows) for v in outputs]
    return found[0] if len(found) == 1 else None


def generate_inputs(
    model: ir.Model, runner: Runner, seed: int, count: int = SAMPLES
) -> CalibrationInputs | None:
    """Samples that the model made up; None where it is no causal language model.

    Args:
        model: it is not changed.
        runner: executes it.
        seed: of the prompts and of the sampling; inputs other than tokens are drawn with it.
        count: how many samples.
    """
    ports = token_ports(model.graph)
    if ports is None:
        return None
    drawn = draw_inputs(model.graph, seed, count)
    execute = runner.open(model, [ports.logits])
    samples = []
    for number, feeds in enumerate(drawn.samples):
        if number == 0 and not _is_causal(execute(feeds), execute(_changed(feeds, ports)), ports):
            return None
        for _ in range(ROUNDS):
            logits_BSV = execute(feeds)[ports.logits].astype(np.float32)
            rng = np.random.default_rng([seed, number])
            feeds = {**feeds, ports.tokens: _resampled(feeds[ports.tokens], logits_BSV, rng)}
        samples.append(feeds)
    return CalibrationInputs(tuple(samples), "generated", seed)


def _resampled(
    tokens_BS: NDArray[np.generic], logits_BSV: NDArray[np.float32], rng: np.random.Generator
) -> NDArray[np.generic]:
    """Every token but the first of a sequence drawn anew given those before it.

    The winner of a race of exponential clocks with the probabilities for rates is a sample, and
    stays the same where the distribution hardly moves.
    """
    result_BS = tokens_BS.copy()
    for b, s in np.ndindex(tokens_BS.shape[0], tokens_BS.shape[1] - 1):
        logits_V = logits_BSV[b, s]
        clock_V = rng.standard_exponential(len(logits_V), dtype=np.float32)
        result_BS[b, s + 1] = np.argmax(logits_V / TEMPERATURE - np.log(clock_V + _TINY))
    return result_BS


def _changed(feeds: Feeds, ports: TokenPorts) -> Feeds:
    tokens_BS = feeds[ports.tokens].copy()
    tokens_BS[:, -1] = (tokens_BS[:, -1] + 1) % ports.vocabulary
    return {**feeds, ports.tokens: tokens_BS}


def _is_causal(given: Feeds, changed: Feeds, ports: TokenPorts) -> bool:
    """Whether changing the last token left everything before it as it was."""
    a, b = given[ports.logits], changed[ports.logits]
    return np.allclose(a[:, :-1], b[:, :-1], rtol=1e-4, atol=1e-4 * float(np.abs(a).max()))
