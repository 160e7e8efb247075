"""Runs two forms of a model in onnxruntime on the same seeded inputs and compares them."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
from numpy.typing import NDArray

from graph_ir.save import save_model

Arrays = dict[str, NDArray[np.generic]]

# Largest absolute difference over the range of the reference output, by its type.
TOLERANCES: dict[str, float] = {"float32": 1e-5, "float64": 1e-9, "float16": 5e-3}

_TYPES: dict[str, type[np.generic]] = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(float16)": np.float16,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(uint8)": np.uint8,
    "tensor(int8)": np.int8,
    "tensor(bool)": np.bool_,
}


def open_session(
    model: onnx.ModelProto | Path, dims: Mapping[str, int] | None = None, optimize: bool = False
) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    if not optimize:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    for name, value in (dims or {}).items():
        options.add_free_dimension_override_by_name(name, value)
    given = str(model) if isinstance(model, Path) else model.SerializeToString()
    return ort.InferenceSession(given, options, providers=["CPUExecutionProvider"])


def seeded_inputs(
    session: ort.InferenceSession,
    dims: Mapping[str, int] | None = None,
    seed: int = 0,
    largest_integer: int = 2,
) -> Arrays:
    """Normal draws for floats; integers from 0 up to (not including) `largest_integer`."""
    random = np.random.default_rng(seed)
    feeds: Arrays = {}
    for value in session.get_inputs():
        known = dims or {}
        shape = [
            extent
            if isinstance(extent, int)
            else known.get(str(extent), known.get(f"{value.name}:{axis}", 1))
            for axis, extent in enumerate(value.shape)
        ]
        data_type = _TYPES[value.type]
        if issubclass(data_type, np.floating):
            feeds[value.name] = random.standard_normal(shape).astype(data_type)
        else:
            feeds[value.name] = random.integers(0, largest_integer, shape).astype(data_type)
    return feeds


def outputs_of(session: ort.InferenceSession, feeds: Arrays) -> Arrays:
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, feeds), strict=True))


def largest_error(got: Arrays, expected: Arrays) -> float:
    """Largest absolute difference of all float outputs, over the range of the expected one."""
    errors = [0.0]
    for name, reference in expected.items():
        if np.issubdtype(reference.dtype, np.floating) and reference.size:
            wide, other = reference.astype(np.float64), got[name].astype(np.float64)
            extent = max(float(np.ptp(wide)), float(np.abs(wide).max()), 1e-30)
            errors.append(float(np.abs(wide - other).max()) / extent)
    return max(errors)


def assert_close(
    got: Arrays, expected: Arrays, tolerances: Mapping[str, float] = TOLERANCES
) -> None:
    """Same names, types and shapes; values within the tolerance of the type."""
    assert list(got) == list(expected)
    for name, reference in expected.items():
        value = got[name]
        assert value.dtype == reference.dtype, name
        assert value.shape == reference.shape, name
        if not np.issubdtype(reference.dtype, np.floating):
            np.testing.assert_array_equal(value, reference, err_msg=name)
            continue
        if reference.size == 0:
            continue
        assert np.isfinite(reference).all(), f"{name}: not finite, nothing can be compared"
        error = largest_error({name: value}, {name: reference})
        assert error <= tolerances[str(reference.dtype)], f"{name}: relative error {error:.3g}"


def assert_valid(model: ir.Model, folder: Path) -> Path:
    """Saves a model and has the ONNX checker read it, types and shapes included."""
    save_model(model, folder, "checked")
    path = folder / "checked.onnx"
    onnx.checker.check_model(str(path), full_check=True)
    return path


def assert_equal_outputs(
    source: onnx.ModelProto | Path,
    model: ir.Model,
    folder: Path,
    dims: Mapping[str, int] | None = None,
    largest_integer: int = 2,
) -> None:
    """The changed model is valid and computes what the source computes."""
    reference = open_session(source, dims)
    feeds = seeded_inputs(reference, dims, largest_integer=largest_integer)
    changed = open_session(assert_valid(model, folder))
    assert_close(outputs_of(changed, feeds), outputs_of(reference, feeds))
