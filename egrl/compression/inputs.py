"""Inputs that a model is run on while it is compressed: a person's, or drawn to its input types."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from graph_ir.errors import InputError
from graph_ir.onnx_values import element_count, op_key, shape_of, value_name
from runtime.npz import read_inputs
from runtime.session import Port, check_inputs

Array = NDArray[np.generic]
Feeds = dict[str, Array]

DRAWN_SAMPLES = 4
LONG_SAMPLES = 2
"""Instead, where a sample is a text of many positions, each of which is a row of its own."""
LONG = 256

MAX_CALIBRATION_BYTES = 4 << 30
"""Of all samples together, since all are held while a model is quantized."""


@dataclass(frozen=True, slots=True)
class CalibrationInputs:
    """Inputs, and where they are from.

    Attributes:
        samples: feeds of one inference each.
        source: `drawn`, `generated`, or the name of the file or folder.
        seed: of what was drawn.
        given: whether they are a person's.
    """

    samples: tuple[Feeds, ...]
    source: str
    seed: int
    given: bool = False


def read_calibration(path: Path, graph: ir.Graph, seed: int) -> CalibrationInputs:
    """The samples of a `.npz` file, or of all of a folder, in order of their names.

    Raises:
        InputError: no sample there, or one that the model does not take; too many of them.
    """
    files = sorted(path.glob("*.npz")) if path.is_dir() else [path]
    if not files:
        raise InputError(f"{path}: expected .npz files, got none")
    ports = _ports(graph)
    samples: list[Feeds] = []
    room = MAX_CALIBRATION_BYTES
    for file in files:
        try:
            feeds = check_inputs(ports, read_inputs(file, room))
            _check_finite(feeds)
        except InputError as error:
            raise InputError(f"calibration {file}: {error}") from error
        samples.append(feeds)
        room -= sum(array.nbytes for array in feeds.values())
    return CalibrationInputs(tuple(samples), path.name, seed, given=True)


def _check_finite(feeds: Feeds) -> None:
    for name, array in feeds.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise InputError(f"input {name!r}: expected finite values, got NaN or infinity")


def draw_inputs(graph: ir.Graph, seed: int, count: int | None = None) -> CalibrationInputs:
    """Seeded inputs: standard normal floats, indices of what they look up, masks of ones."""
    rng = np.random.default_rng(seed)
    if count is None:
        looked_up = [v for v in graph.inputs if table_rows(v) is not None]
        long = any(element_count(value) >= LONG for value in looked_up)
        count = LONG_SAMPLES if long else DRAWN_SAMPLES
    samples = tuple(
        {value_name(value): _drawn(value, rng) for value in graph.inputs} for _ in range(count)
    )
    return CalibrationInputs(samples, "drawn", seed)


def _ports(graph: ir.Graph) -> tuple[Port, ...]:
    ports = []
    for value in graph.inputs:
        if value.dtype is None:
            raise InputError(f"input {value_name(value)}: expected an element type, got none")
        ports.append(Port(value_name(value), value.dtype.numpy(), shape_of(value)))
    return tuple(ports)


def _drawn(value: ir.Value, rng: np.random.Generator) -> Array:
    shape, dtype = shape_of(value), value.dtype
    if dtype is None:
        raise InputError(f"input {value_name(value)}: expected an element type, got none")
    if dtype.is_floating_point():
        return rng.standard_normal(shape).astype(dtype.numpy())
    if dtype == ir.DataType.BOOL:
        return np.ones(shape, np.bool_)
    limit = table_rows(value)
    if limit is None:
        return np.ones(shape, dtype.numpy())
    return rng.integers(0, limit, shape).astype(dtype.numpy())


def table_rows(value: ir.Value) -> int | None:
    """Rows of the smallest table that a value indexes, through casts; None where it does not."""
    limits: list[int] = []
    for node, at in value.uses():
        if op_key(node) == "Gather" and at == 1 and node.inputs[0] is not None:
            axis = node.attributes.get_int("axis", 0)
            limits.append(shape_of(node.inputs[0])[axis])
        elif op_key(node) in ("Cast", "Reshape", "Unsqueeze", "Squeeze", "Identity") and at == 0:
            below = table_rows(node.outputs[0])
            limits += [] if below is None else [below]
    return min(limits, default=None)
