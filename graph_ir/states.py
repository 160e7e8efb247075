"""Pairs of a graph's inputs and outputs that are one state: what an inference leaves, the next has.

The pairing is written in the model's metadata under `egrl.states`, a JSON list of
`[input, output]`. A state is one buffer that is updated in place and persists between inferences.
"""

import json

import onnx_ir as ir

from graph_ir.errors import InputError
from graph_ir.kv.operator import STATES
from graph_ir.onnx_values import is_constant, shape_of
from graph_ir.text import quoted

# More would be no pairing of a graph that can be loaded.
_MOST_PAIRS = 100_000
_MOST_CHARACTERS = 1 << 26


def state_names(model: ir.Model) -> tuple[tuple[str, str], ...]:
    """The pairs of names in a model's metadata, empty without any.

    Raises:
        InputError: the metadata is no list of pairs of names.
    """
    text = model.metadata_props.get(STATES)
    if text is None:
        return ()
    wrong = InputError(f"metadata {STATES}: expected a JSON list of [input, output] names")
    if len(text) > _MOST_CHARACTERS:
        raise wrong
    try:
        pairs = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise wrong from error
    if not isinstance(pairs, list) or len(pairs) > _MOST_PAIRS:
        raise wrong
    for pair in pairs:
        if not (
            isinstance(pair, list) and len(pair) == 2 and all(isinstance(n, str) for n in pair)
        ):
            raise wrong
    return tuple((pair[0], pair[1]) for pair in pairs)


def state_pairs(model: ir.Model) -> dict[ir.Value, ir.Value]:
    """The input that holds a state before an inference, by the output that holds it afterwards.

    Raises:
        InputError: a name that is no input or no output of the graph or is paired twice, or a pair
            of another type or shape.
    """
    inputs = {value.name: value for value in model.graph.inputs}
    outputs = {value.name: value for value in model.graph.outputs}
    pairs: dict[ir.Value, ir.Value] = {}
    taken: set[ir.Value] = set()
    for before_name, after_name in state_names(model):
        before, after = inputs.get(before_name), outputs.get(after_name)
        where = f"state {quoted(before_name)} -> {quoted(after_name)}"
        if before is None or after is None or before.is_initializer():
            raise InputError(f"{where}: expected the names of an input and of an output")
        if before in taken or after in pairs:
            raise InputError(f"{where}: expected every input and output in one pair only")
        if after.is_graph_input() or is_constant(after):
            raise InputError(f"{where}: expected an output that a node computes")
        if shape_of(before) != shape_of(after) or before.dtype is not after.dtype:
            raise InputError(
                f"{where}: expected one type and shape, got {_form(before)} and {_form(after)}"
            )
        taken.add(before)
        pairs[after] = before
    return pairs


def _form(value: ir.Value) -> str:
    name = "unknown" if value.dtype is None else value.dtype.name
    return f"{name}{list(shape_of(value))}"
