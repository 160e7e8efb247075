"""What keeping outliers costs: `python -m egrl.bench.int4.outlier_speed`.

One product in onnxruntime in every form, one thread, medians of interleaved runs, CPU time of the
calling thread, as ratios to int4 in groups of 32 without outliers. Weights are random: time does
not depend on them, but on how many entries, channels or directions are added.

Axes: M rows, K inner, N columns.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import ml_dtypes
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from runtime.manifest import Execution
from runtime.session import make_session

_SHARE = 0.003
_CHANNELS = 32
_RANK = 8
_STORED: dict[tuple[int, bool], type] = {
    (4, True): ml_dtypes.int4,
    (4, False): ml_dtypes.uint4,
    (8, True): np.int8,
}


@dataclass(frozen=True, slots=True)
class Part:
    """Nodes and constants of a form; the result is `y`, the left factor `x`."""

    nodes: tuple[onnx.NodeProto, ...]
    constants: tuple[onnx.TensorProto, ...]


Form = Callable[[int, int, np.random.Generator], Part]


def _constant(name: str, array: NDArray[np.generic]) -> onnx.TensorProto:
    return numpy_helper.from_array(array, name)


def _product(
    stem: str, left: str, out: str, shape: tuple[int, int], grid: tuple[int, int, bool]
) -> Part:
    """`out = left @ dequantized`, grid being bits, group and whether symmetric."""
    bits, group, symmetric = grid
    columns, groups = shape[1], -(-shape[0] // group)
    stored = _STORED[(bits, symmetric)]
    rng = np.random.default_rng(0)
    levels_KN: NDArray[np.generic] = rng.integers(-4 if symmetric else 0, 4, shape).astype(stored)
    scale_GN = np.full((groups, columns), 0.01, np.float32)
    inputs, constants = [f"{stem}q", f"{stem}s"], []
    constants += [_constant(f"{stem}q", levels_KN), _constant(f"{stem}s", scale_GN)]
    if not symmetric:
        inputs.append(f"{stem}z")
        constants.append(_constant(f"{stem}z", np.full((groups, columns), 2).astype(stored)))
    wide = helper.make_node("DequantizeLinear", inputs, [f"{stem}w"], axis=0, block_size=group)
    return Part((wide, helper.make_node("MatMul", [left, f"{stem}w"], [out])), tuple(constants))


def plain(group: int, symmetric: bool = True) -> Form:
    """Nothing but the fused product."""

    def form(inner: int, columns: int, rng: np.random.Generator) -> Part:
        return _product("a", "x", "y", (inner, columns), (4, group, symmetric))

    return form


def channels(inner: int, columns: int, rng: np.random.Generator) -> Part:
    """A second fused product, of 8 bits, over some input channels."""
    first = _product("a", "x", "y0", (inner, columns), (4, 32, True))
    second = _product("b", "xc", "y1", (_CHANNELS, columns), (8, 32, True))
    picked = np.sort(rng.permutation(inner)[:_CHANNELS])
    gather = helper.make_node("Gather", ["x", "at"], ["xc"], axis=1)
    total = helper.make_node("Add", ["y0", "y1"], ["y"])
    return Part(
        (*first.nodes, gather, *second.nodes, total),
        (*first.constants, *second.constants, _constant("at", picked)),
    )


def low_rank(inner: int, columns: int, rng: np.random.Generator) -> Part:
    """Two narrow products beside the fused one."""
    first = _product("a", "x", "y0", (inner, columns), (4, 32, True))
    left = rng.standard_normal((inner, _RANK)).astype(np.float32)
    right = rng.standard_normal((_RANK, columns)).astype(np.float32)
    nodes = (
        helper.make_node("MatMul", ["x", "l"], ["h"]),
        helper.make_node("MatMul", ["h", "r"], ["y1"]),
        helper.make_node("Add", ["y0", "y1"], ["y"]),
    )
    return Part(
        (*first.nodes, *nodes), (*first.constants, _constant("l", left), _constant("r", right))
    )


def entries(inner: int, columns: int, rng: np.random.Generator) -> Part:
    """Single entries: as many for each column, gathered, multiplied, summed."""
    first = _product("a", "x", "y0", (inner, columns), (4, 32, True))
    each = max(round(_SHARE * inner), 1)
    row_NP = rng.integers(0, inner, (columns, each))
    value_NP = rng.standard_normal((columns, each)).astype(np.float32)
    nodes = (
        helper.make_node("Gather", ["x", "row"], ["g"], axis=1),
        helper.make_node("Mul", ["g", "value"], ["p"]),
        helper.make_node("ReduceSum", ["p", "last"], ["y1"], keepdims=0),
        helper.make_node("Add", ["y0", "y1"], ["y"]),
    )
    added = (_constant("row", row_NP), _constant("value", value_NP))
    return Part(
        (*first.nodes, *nodes), (*first.constants, *added, _constant("last", np.array([2])))
    )


def dense(inner: int, columns: int, rng: np.random.Generator) -> Part:
    """Outliers as a float matrix of zeros with few entries."""
    first = _product("a", "x", "y0", (inner, columns), (4, 32, True))
    sparse_KN = rng.standard_normal((inner, columns)).astype(np.float32)
    sparse_KN[rng.random((inner, columns)) > _SHARE] = 0
    nodes = (
        helper.make_node("MatMul", ["x", "o"], ["y1"]),
        helper.make_node("Add", ["y0", "y1"], ["y"]),
    )
    return Part((*first.nodes, *nodes), (*first.constants, _constant("o", sparse_KN)))


FORMS: dict[str, Form] = {
    "groups of 32": plain(32),
    "groups of 32, zero points": plain(32, symmetric=False),
    "groups of 64, zero points": plain(64, symmetric=False),
    "groups of 16": plain(16),
    f"{_CHANNELS} channels of 8 bits": channels,
    f"rank {_RANK}": low_rank,
    f"{100 * _SHARE:g} % entries, gathered": entries,
    f"{100 * _SHARE:g} % entries, dense": dense,
}


def model(form: Form, rows: int, inner: int, columns: int) -> bytes:
    """A model of one product."""
    part = form(inner, columns, np.random.default_rng(1))
    graph = helper.make_graph(
        part.nodes,
        "product",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (rows, inner))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, (rows, columns))],
        part.constants,
    )
    opset = helper.make_opsetid("", 21)
    made = helper.make_model(graph, opset_imports=[opset], ir_version=10)
    return bytes(made.SerializeToString())


def measure(rows: int, inner: int, columns: int, repeats: int) -> dict[str, float]:
    """Median CPU seconds of every form."""
    execution = Execution(optimization_level="all", accuracy_level=4)
    sessions = {
        name: make_session(model(form, rows, inner, columns), execution, threads=1)
        for name, form in FORMS.items()
    }
    feeds = {"x": np.random.default_rng(2).standard_normal((rows, inner)).astype(np.float32)}
    seconds: dict[str, list[float]] = {name: [] for name in FORMS}
    inside = max(1, 4_000_000_000 // (rows * inner * columns * 40))
    for _ in range(repeats):
        for name, session in sessions.items():
            begun = time.thread_time()
            for _ in range(min(inside, 50)):
                session.run(None, feeds)
            seconds[name].append((time.thread_time() - begun) / min(inside, 50))
    return {name: statistics.median(found) for name, found in seconds.items()}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=31)
    repeats: int = parser.parse_args().repeats
    cases = [(m, k, n) for k, n in ((576, 1536), (2048, 2048)) for m in (1, 16, 128)]
    found = [measure(*case, repeats) for case in cases]
    base = next(iter(FORMS))
    print("| form | " + " | ".join(f"{k}x{n}, M = {m}" for m, k, n in cases) + " |")
    print("|---|" + "---:|" * len(cases))
    for name in FORMS:
        cells = (f"{times[name] / times[base]:.2f}" for times in found)
        print(f"| {name} | " + " | ".join(cells) + " |")
    cells = (f"{1000 * times[base]:.3f}" for times in found)
    print(f"| milliseconds of {base} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
