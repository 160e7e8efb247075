"""What can be known of a decoder's artifact without executing it."""

from pathlib import Path

import onnx

from graph_ir.errors import InputError
from graph_ir.proto_file import read_model_proto
from graph_ir.text import quoted
from runtime.generation.record import DECODE, PREFILL, SELECT, TOKENIZER_FILE, DecoderRecord
from runtime.generation.states import STATES_KEY, parse_states
from runtime.generation.tokenizer import read_tokenizer

_Form = tuple[int, tuple[int, ...]]


def check_decoder(folder: Path, record: DecoderRecord, has_texts: bool) -> None:
    """Check that both graphs have the same states, and that the tokenizer is one.

    Args:
        folder: of the artifact.
        record: of its manifest.
        has_texts: whether there is a tokenizer.

    Raises:
        InputError: the first thing that is wrong.
    """
    prefill, decode = (_states(folder / f"{graph}.onnx") for graph in (PREFILL, DECODE))
    if record.kv_keep:
        _check_choice(folder, prefill, decode)
        prefill = decode
    for name in sorted(prefill.keys() | decode.keys()):
        if prefill.get(name) != decode.get(name):
            raise InputError(
                f"{folder}: state {quoted(name)}: expected the same in {PREFILL} and {DECODE}"
            )
    if has_texts:
        path = folder / TOKENIZER_FILE
        size = read_tokenizer(path).size
        if size > record.vocabulary:
            raise InputError(f"{path}: expected at most {record.vocabulary} tokens, got {size}")


def _check_choice(folder: Path, prefill: dict[str, _Form], decode: dict[str, _Form]) -> None:
    """Check that the graph that chooses makes the states of one graph out of the other's."""
    path = folder / f"{SELECT}.onnx"
    graph = read_model_proto(path).graph
    inputs = {value.name: _form(value) for value in graph.input}
    outputs = {value.name: _form(value) for value in graph.output}
    made = {name.replace("cache.", "next.", 1): form for name, form in decode.items()}
    for known, there in ((prefill, inputs), (made, outputs)):
        for name, form in known.items():
            if there.get(name) != form:
                raise InputError(
                    f"{path}: {quoted(name)}: expected as {PREFILL} and {DECODE} have it"
                )


def _states(path: Path) -> dict[str, _Form]:
    """Forms of the states of a graph by the name of their input."""
    proto = read_model_proto(path)
    metadata = {entry.key: entry.value for entry in proto.metadata_props}
    inputs = {value.name: _form(value) for value in proto.graph.input}
    outputs = {value.name: _form(value) for value in proto.graph.output}
    forms: dict[str, _Form] = {}
    for before, after in parse_states(metadata.get(STATES_KEY), str(path)):
        if before not in inputs or after not in outputs:
            raise InputError(f"{path}: state {quoted(before)}: no such input and output")
        if inputs[before] != outputs[after]:
            raise InputError(f"{path}: state {quoted(before)}: its output has another form")
        forms[before] = inputs[before]
    return forms


def _form(value: onnx.ValueInfoProto) -> _Form:
    tensor = value.type.tensor_type
    return tensor.elem_type, tuple(extent.dim_value for extent in tensor.shape.dim)
