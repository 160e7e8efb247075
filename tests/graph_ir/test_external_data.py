"""Weights outside the model file: mapped where they are in order, refused where they are not."""

import os
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from graph_ir.errors import InputError
from graph_ir.load import load_model
from tests.graph_ir.numerics import assert_equal_outputs
from tests.graph_ir.tiny_models import TINY_MODELS


def save_external(folder: Path, location: str = "weights.bin") -> tuple[onnx.ModelProto, Path]:
    """The residual block with all its weights in one external file."""
    proto = TINY_MODELS["conv_bn_relu_residual"]()
    path = folder / "model.onnx"
    folder.mkdir(exist_ok=True)
    onnx.save(
        onnx.ModelProto.FromString(proto.SerializeToString()),
        path,
        save_as_external_data=True,
        location=location,
        size_threshold=0,
    )
    return proto, path


def rewrite(path: Path, key: str, value: str) -> None:
    """Changes one entry of the first external tensor."""
    model = onnx.load(path, load_external_data=False)
    entries = model.graph.initializer[0].external_data
    for entry in entries:
        if entry.key == key:
            entry.value = value
            break
    else:
        entries.add(key=key, value=value)
    path.write_bytes(model.SerializeToString())


def refusal(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        load_model(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_weights_are_mapped_not_read(tmp_path: Path) -> None:
    source, path = save_external(tmp_path / "model")
    model = load_model(path)
    tensors = [v.const_value for v in model.graph_model.graph.initializers.values()]
    assert all(isinstance(tensor, ir.ExternalTensor) for tensor in tensors)
    assert all(tensor.raw is None for tensor in tensors), "nothing has been touched yet"
    assert_equal_outputs(source, model.graph_model, tmp_path)


@pytest.mark.slow
def test_sparse_file_of_many_gigabytes(tmp_path: Path) -> None:
    """A 3 GB tensor loads without its bytes being read into memory by shape inference."""
    _, path = save_external(tmp_path / "model")
    model = onnx.load(path, load_external_data=False)
    rows = 3 * 1024**3 // 4 // 8
    table = onnx.TensorProto(name="table", data_type=1, dims=[rows, 8], data_location=1)
    table.external_data.add(key="location", value="big.bin")
    model.graph.initializer.append(table)
    gather = onnx.helper.make_node("Gather", ["table", "ids"], ["rows"], name="gather")
    model.graph.node.append(gather)
    model.graph.input.append(onnx.helper.make_tensor_value_info("ids", 7, [2]))
    model.graph.output.append(onnx.helper.make_tensor_value_info("rows", 1, [2, 8]))
    path.write_bytes(model.SerializeToString())
    with (path.parent / "big.bin").open("wb") as stream:
        stream.truncate(rows * 8 * 4)
    loaded = load_model(path).graph_model.graph
    assert loaded.initializers["table"].const_value.nbytes == rows * 8 * 4
    assert [list(output.shape) for output in loaded.outputs] == [[1, 4, 8, 8], [2, 8]]


def test_missing(tmp_path: Path) -> None:
    _, path = save_external(tmp_path)
    (tmp_path / "weights.bin").unlink()
    assert "'weights.bin' cannot be read: No such file" in refusal(path)


def test_truncated(tmp_path: Path) -> None:
    _, path = save_external(tmp_path)
    os.truncate(tmp_path / "weights.bin", 100)
    assert "of 'weights.bin', which has 100" in refusal(path)


def test_folder_in_the_place_of_data(tmp_path: Path) -> None:
    _, path = save_external(tmp_path)
    (tmp_path / "weights.bin").unlink()
    (tmp_path / "weights.bin").mkdir()
    assert "is not a file" in refusal(path)


@pytest.mark.parametrize(
    "location",
    [
        "../weights.bin",
        "sub/../../weights.bin",
        "/etc/passwd",
        "C:\\weights.bin",
        "..\\weights.bin",
        "",
        "weights.bin\0",
    ],
)
def test_escaping_location(location: str, tmp_path: Path) -> None:
    _, path = save_external(tmp_path / "model")
    (tmp_path / "weights.bin").write_bytes(bytes(4096))
    rewrite(path, "location", location)
    message = refusal(path)
    assert any(
        reason in message
        for reason in ("leaves the model's folder", "absolute path", "without a file name")
    )


def test_link_out_of_the_folder(tmp_path: Path) -> None:
    _, path = save_external(tmp_path / "model")
    data = path.parent / "weights.bin"
    data.rename(tmp_path / "elsewhere.bin")
    data.symlink_to(tmp_path / "elsewhere.bin")
    assert "link out of the folder" in refusal(path)


def test_linked_folder_inside(tmp_path: Path) -> None:
    _, path = save_external(tmp_path / "model")
    (path.parent / "sub").symlink_to(tmp_path)
    (path.parent / "weights.bin").rename(tmp_path / "weights.bin")
    rewrite(path, "location", "sub/weights.bin")
    assert "link out of the folder" in refusal(path)


def test_download_cache_of_links(tmp_path: Path) -> None:
    """Model and data are links into one folder, as download caches lay them out."""
    source, path = save_external(tmp_path / "blobs")
    folder = tmp_path / "snapshot"
    folder.mkdir()
    (folder / "model.onnx").symlink_to(path)
    (folder / "weights.bin").symlink_to(path.parent / "weights.bin")
    model = load_model(folder / "model.onnx")
    assert_equal_outputs(source, model.graph_model, tmp_path)


def test_hard_linked_data(tmp_path: Path) -> None:
    """Installers link files out of their caches."""
    source, path = save_external(tmp_path / "model")
    os.link(path.parent / "weights.bin", tmp_path / "twin.bin")
    assert_equal_outputs(source, load_model(path).graph_model, tmp_path)


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("offset", "-4", "expected a number"),
        ("offset", "1e3", "expected a number"),
        ("offset", "99999999999999999", "which has"),
        ("length", "4", "but 4 are declared"),
        ("length", "9" * 30, "expected a number"),
    ],
)
def test_bad_numbers(key: str, value: str, expected: str, tmp_path: Path) -> None:
    _, path = save_external(tmp_path)
    rewrite(path, key, value)
    assert expected in refusal(path)


def test_digest_covers_the_data(tmp_path: Path) -> None:
    _, path = save_external(tmp_path)
    before = load_model(path).source_sha256
    assert load_model(path).source_sha256 == before
    data = bytearray((tmp_path / "weights.bin").read_bytes())
    data[5] ^= 1
    (tmp_path / "weights.bin").write_bytes(data)
    assert load_model(path).source_sha256 != before
    assert len(before) == 64


def test_external_constant_node(tmp_path: Path) -> None:
    weights = np.arange(6, dtype=np.float32)
    (tmp_path / "w.bin").write_bytes(weights.tobytes())
    tensor = onnx.TensorProto(name="w", data_type=1, dims=[2, 3], data_location=1)
    tensor.external_data.add(key="location", value="w.bin")
    nodes = [
        onnx.helper.make_node("Constant", [], ["w"], name="c", value=tensor),
        onnx.helper.make_node("Add", ["x", "w"], ["y"], name="a"),
    ]
    info = [onnx.helper.make_tensor_value_info(name, 1, [2, 3]) for name in ("x", "y")]
    graph = onnx.helper.make_graph(nodes, "g", info[:1], info[1:])
    opsets = [onnx.helper.make_opsetid("", 18)]
    path = tmp_path / "m.onnx"
    path.write_bytes(
        onnx.helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString()
    )
    constant = load_model(path).graph_model.graph.initializers["w"].const_value
    np.testing.assert_array_equal(constant.numpy(), weights.reshape(2, 3))
