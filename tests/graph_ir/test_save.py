"""Saved models: same bytes each time, weights on pages, shared ones stored once."""

from pathlib import Path

import numpy as np
import onnx
import pytest

from graph_ir.errors import InputError
from graph_ir.load import load_model
from graph_ir.passes.pipeline import run_lossless
from graph_ir.save import INLINE_BYTES, PAGE_BYTES, save_model, save_models
from tests.graph_ir.numerics import assert_equal_outputs
from tests.graph_ir.tiny_builder import TinyBuilder
from tests.graph_ir.tiny_models import TINY_DIMS, TINY_MODELS


def wide_model(folder: Path, seed: int = 0, name: str = "source"):
    """Three products with weights of several pages; the last shares its weight with the first."""
    b = TinyBuilder(18, seed=seed)
    x = b.input("x", [2, 40])
    shared = b.weight(40, 40, name="shared")
    y = b.node("MatMul", b.node("MatMul", x, shared), b.weight(40, 40, name="own"))
    y = b.node("Add", b.node("MatMul", y, shared), b.weight(40, name="bias"))
    b.node("Relu", y, to="y")
    b.output("y", [2, 40])
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}.onnx"
    onnx.save(b.build(), path)
    return b.build(), load_model(path).graph_model


def placed(path: Path) -> dict[str, dict[str, int]]:
    tensors = onnx.load(path, load_external_data=False).graph.initializer
    return {
        tensor.name: {
            entry.key: int(entry.value)
            for entry in tensor.external_data
            if entry.key in ("offset", "length")
        }
        for tensor in tensors
        if tensor.data_location == onnx.TensorProto.EXTERNAL
    }


@pytest.mark.parametrize("name", sorted(TINY_MODELS))
def test_round_trip(name: str, load_tiny, tmp_path: Path) -> None:
    source, model = load_tiny(name)
    run_lossless(model.graph_model)
    folder = tmp_path / "saved"
    folder.mkdir()
    save_model(model.graph_model, folder, "main")
    again = load_model(folder / "main.onnx")
    assert_equal_outputs(source, again.graph_model, tmp_path, TINY_DIMS.get(name))
    second = tmp_path / "again"
    second.mkdir()
    save_model(again.graph_model, second, "main")
    for file in ("main.onnx", "weights.data"):
        assert (second / file).read_bytes() == (folder / file).read_bytes()


def test_layout(tmp_path: Path) -> None:
    _, model = wide_model(tmp_path)
    save_model(model, tmp_path, "main")
    size = 40 * 40 * 4
    assert placed(tmp_path / "main.onnx") == {
        "shared": {"offset": 0, "length": size},
        "own": {"offset": 2 * PAGE_BYTES, "length": size},
    }
    assert (tmp_path / "weights.data").stat().st_size == 2 * PAGE_BYTES + size
    assert INLINE_BYTES >= 40 * 4  # the bias stays in the model file


def test_graphs_share_weights(tmp_path: Path) -> None:
    first_source, first = wide_model(tmp_path / "a")
    second_source, second = wide_model(tmp_path / "b")
    third_source, third = wide_model(tmp_path / "c", seed=1)
    save_models({"prefill": first, "decode": second, "other": third}, tmp_path)
    assert placed(tmp_path / "prefill.onnx") == placed(tmp_path / "decode.onnx")
    offsets = [entry["offset"] for entry in placed(tmp_path / "other.onnx").values()]
    assert offsets == [4 * PAGE_BYTES, 6 * PAGE_BYTES]
    sources = {"prefill": first_source, "decode": second_source, "other": third_source}
    for name, source in sources.items():
        loaded = load_model(tmp_path / f"{name}.onnx").graph_model
        assert_equal_outputs(source, loaded, tmp_path / "a")


def test_saving_leaves_the_model_as_it_is(tmp_path: Path) -> None:
    _, model = wide_model(tmp_path)
    before = {name: value.const_value for name, value in model.graph.initializers.items()}
    save_model(model, tmp_path, "main")
    for name, value in model.graph.initializers.items():
        assert value.const_value is before[name]


def test_over_its_own_source(tmp_path: Path) -> None:
    """The mapped weights of a model survive when their file is replaced."""
    source, model = wide_model(tmp_path)
    save_model(model, tmp_path, "main")
    mapped = load_model(tmp_path / "main.onnx").graph_model
    mapped.graph.initializers["shared"].const_value.numpy()
    save_model(mapped, tmp_path, "main")
    assert_equal_outputs(source, load_model(tmp_path / "main.onnx").graph_model, tmp_path / "..")


def test_small_external_tensors_move_into_the_model_file(tmp_path: Path) -> None:
    source, _ = wide_model(tmp_path)
    moved = onnx.ModelProto.FromString(source.SerializeToString())
    onnx.save(moved, tmp_path / "all.onnx", save_as_external_data=True, size_threshold=0)
    loaded = load_model(tmp_path / "all.onnx").graph_model
    folder = tmp_path / "saved"
    folder.mkdir()
    save_model(loaded, folder, "main")
    assert sorted(placed(folder / "main.onnx")) == ["own", "shared"]
    assert_equal_outputs(source, load_model(folder / "main.onnx").graph_model, tmp_path)


def test_unwritable_folder_leaves_nothing(tmp_path: Path) -> None:
    _, model = wide_model(tmp_path)
    with pytest.raises(InputError, match="cannot be written: No such file"):
        save_model(model, tmp_path / "absent", "main")
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written: Not a directory"):
        save_model(model, tmp_path / "file", "main")


def test_no_partial_file_after_a_failure(tmp_path: Path) -> None:
    _, model = wide_model(tmp_path)
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "main.onnx").mkdir()
    with pytest.raises(InputError, match="cannot be written"):
        save_model(model, folder, "main")
    assert not [path for path in folder.iterdir() if "partial" in path.name]


def test_half_precision_and_integers(tmp_path: Path) -> None:
    b = TinyBuilder(18)
    x = b.input("x", [2, 40], onnx.TensorProto.FLOAT16)
    values = b.random.standard_normal((40, 40)).astype(np.float16)
    y = b.node("MatMul", x, b.constant(values, np.float16))
    table = b.constant(b.random.integers(0, 40, (300,)), np.int64)
    b.node("Gather", y, table, axis=1, to="y")
    b.output("y", [2, 300], onnx.TensorProto.FLOAT16)
    path = tmp_path / "source.onnx"
    onnx.save(b.build(), path)
    assert_equal_outputs(b.build(), load_model(path).graph_model, tmp_path)
