"""Mutated models load or are refused with one line; nothing else ever happens."""

from pathlib import Path

import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graph_ir.errors import InputError
from graph_ir.load import load_model
from graph_ir.passes.pipeline import run_lossless
from tests.graph_ir.tiny_models import TINY_DIMS, TINY_MODELS

NAMES = sorted(TINY_MODELS)
CONTENTS = {name: make().SerializeToString() for name, make in TINY_MODELS.items()}


def load_or_refuse(content: bytes, name: str, folder: Path) -> None:
    path = folder / "mutant.onnx"
    path.write_bytes(content)
    message = ""
    try:
        model = load_model(path, TINY_DIMS.get(name, {}))
        run_lossless(model.graph_model)
    except InputError as error:
        message = str(error)
    assert "\n" not in message


@st.composite
def mutants(draw: st.DrawFn) -> tuple[str, bytes]:
    """A few bytes flipped, cut, inserted or copied."""
    name = draw(st.sampled_from(NAMES))
    content = bytearray(CONTENTS[name])
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(content) - 1))
        match draw(st.integers(0, 4)):
            case 0:
                content[at] ^= 1 << draw(st.integers(0, 7))
            case 1:
                content[at] = draw(st.sampled_from([0, 1, 0x7F, 0x80, 0xFF]))
            case 2:
                del content[at : at + draw(st.integers(1, 8))]
            case 3:
                content[at:at] = draw(st.binary(min_size=1, max_size=6))
            case 4:
                start = draw(st.integers(0, len(content) - 1))
                content[at : at + 8] = content[start : start + 8]
        if not content:
            break
    return name, bytes(content)


@given(mutant=mutants())
@settings(max_examples=400)
def test_mutated_bytes(mutant: tuple[str, bytes], tmp_path_factory: pytest.TempPathFactory) -> None:
    name, content = mutant
    load_or_refuse(content, name, tmp_path_factory.getbasetemp())


NUMBERS = st.sampled_from([-(2**63), -1, 0, 1, 2, 3, 7, 8, 64, 2**31, 2**33, 2**63 - 1])


@st.composite
def broken_protos(draw: st.DrawFn) -> tuple[str, bytes]:
    """A well-formed file whose meaning is broken: numbers, names, types and operators swapped."""
    name = draw(st.sampled_from(NAMES))
    model = onnx.ModelProto.FromString(CONTENTS[name])
    nodes = model.graph.node
    for _ in range(draw(st.integers(1, 3))):
        node = nodes[draw(st.integers(0, len(nodes) - 1))]
        match draw(st.integers(0, 6)):
            case 0:
                other = nodes[draw(st.integers(0, len(nodes) - 1))]
                node.op_type, node.domain = other.op_type, other.domain
            case 1 if node.input:
                values = [*(i.name for i in model.graph.initializer), *node.output, ""]
                node.input[draw(st.integers(0, len(node.input) - 1))] = draw(
                    st.sampled_from(values)
                )
            case 2 if node.attribute:
                attribute = node.attribute[draw(st.integers(0, len(node.attribute) - 1))]
                if attribute.ints:
                    attribute.ints[0] = draw(NUMBERS)
                elif attribute.HasField("i"):
                    attribute.i = draw(NUMBERS)
                else:
                    attribute.type = draw(st.integers(0, 14))  # type: ignore[assignment]
            case 3 if model.graph.initializer:
                last = len(model.graph.initializer) - 1
                tensor = model.graph.initializer[draw(st.integers(0, last))]
                if tensor.data_type == onnx.TensorProto.INT64:
                    count = max(1, len(tensor.raw_data) // 8)
                    tensor.raw_data = b"".join(
                        draw(NUMBERS).to_bytes(8, "little", signed=True) for _ in range(count)
                    )
                elif tensor.dims:
                    tensor.dims[0] = draw(NUMBERS)
            case 4:
                shape = model.graph.input[0].type.tensor_type.shape
                if shape.dim:
                    shape.dim[draw(st.integers(0, len(shape.dim) - 1))].dim_value = draw(NUMBERS)
            case 5:
                model.graph.input[0].type.tensor_type.elem_type = draw(st.integers(0, 28))
            case 6:
                model.opset_import[0].version = draw(st.integers(7, 26))
    return name, model.SerializeToString()


@given(mutant=broken_protos())
@settings(max_examples=400)
def test_broken_meaning(
    mutant: tuple[str, bytes], tmp_path_factory: pytest.TempPathFactory
) -> None:
    name, content = mutant
    load_or_refuse(content, name, tmp_path_factory.getbasetemp())
