"""What looking rows up costs in each form of a table: `python -m egrl.bench.int4.embedding_speed`.

One table of SmolLM2's extents, 4 bits in groups of 32, and its float form. Prints microseconds a
call for some numbers of rows (one thread, medians of interleaved CPU times), and the bytes that a
session keeps of the table, as constants of the graph that it executes.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Sequence
from math import prod
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from graph_ir.compression.grid import Grid, QuantizedWeight
from graph_ir.compression.methods.rtn import Rtn
from runtime.manifest import Execution
from runtime.profile_graph import executed_graph
from runtime.session import make_session

ENTRIES, WIDTH, GROUP = 49152, 576, 32
ROWS = (1, 16, 512)
_DOMAIN = "com.microsoft"


def forms(quantized: QuantizedWeight) -> dict[str, onnx.ModelProto]:
    """Models that look rows up, by what a table calls them."""
    table = np.ascontiguousarray(quantized.dequantized().T)
    scale = numpy_helper.from_array(np.ascontiguousarray(quantized.scale_GN.T), "s16")
    levels = np.ascontiguousarray(quantized.levels_KN.T)
    packed = _nibbles(levels.astype(np.uint8) & 15)
    shifted = _nibbles((levels + 8).astype(np.uint8))
    integers = helper.make_tensor("q", TensorProto.INT4, levels.shape, packed.tobytes(), raw=True)
    bytes_of_two = numpy_helper.from_array(shifted, "p")
    wide = helper.make_node("Cast", ["s16"], ["s"], to=TensorProto.FLOAT)
    picked = [
        helper.make_node("Gather", ["s16", "ids"], ["ps"]),
        helper.make_node("Cast", ["ps"], ["s"], to=TensorProto.FLOAT),
    ]
    blocks = {"block_size": GROUP}
    lookup = {"gather_axis": 0, "quantize_axis": 1, "bits": 4, **blocks}
    return {
        "float": _model(
            [helper.make_node("Gather", ["t", "ids"], ["y"])], [numpy_helper.from_array(table, "t")]
        ),
        "DequantizeLinear, Gather": _model(
            [
                wide,
                helper.make_node("DequantizeLinear", ["q", "s"], ["t"], axis=1, **blocks),
                helper.make_node("Gather", ["t", "ids"], ["y"]),
            ],
            [integers, scale],
        ),
        "Cast (folded), Gather, DequantizeLinear": _model(
            [
                helper.make_node("Cast", ["q"], ["b"], to=TensorProto.INT8),
                helper.make_node("Gather", ["b", "ids"], ["pb"]),
                *picked,
                helper.make_node("DequantizeLinear", ["pb", "s"], ["y"], axis=2, **blocks),
            ],
            [integers, scale],
        ),
        "Gather of bytes, arithmetic": _unpacked(bytes_of_two, scale, picked),
        "GatherBlockQuantized of int4": _model(
            [wide, helper.make_node("GatherBlockQuantized", ["q", "ids", "s"], ["y"], None, None,
                                    _DOMAIN, **lookup)],
            [integers, scale],
        ),
        "GatherBlockQuantized of bytes": _model(
            [wide, helper.make_node("GatherBlockQuantized", ["p", "ids", "s"], ["y"], None, None,
                                    _DOMAIN, **lookup)],
            [bytes_of_two, scale],
        ),
    }  # fmt: skip


def _nibbles(values: np.ndarray) -> np.ndarray:
    packed: np.ndarray = values[:, 0::2] | values[:, 1::2] << 4
    return packed


def _unpacked(
    bytes_of_two: onnx.TensorProto, scale: onnx.TensorProto, picked: Sequence[onnx.NodeProto]
) -> onnx.ModelProto:
    constants = {
        "fifteen": np.uint8(15),
        "four": np.uint8(4),
        "eight": np.float32(8),
        "last": np.array([3]),
        "groups": np.array([0, 0, WIDTH // GROUP, GROUP]),
        "rows": np.array([0, 0, WIDTH]),
    }
    nodes = [
        helper.make_node("Gather", ["p", "ids"], ["pb"]),
        helper.make_node("BitwiseAnd", ["pb", "fifteen"], ["low"]),
        helper.make_node("BitShift", ["pb", "four"], ["high"], direction="RIGHT"),
        helper.make_node("Unsqueeze", ["low", "last"], ["low1"]),
        helper.make_node("Unsqueeze", ["high", "last"], ["high1"]),
        helper.make_node("Concat", ["low1", "high1"], ["both"], axis=-1),
        helper.make_node("Reshape", ["both", "groups"], ["grouped"]),
        helper.make_node("Cast", ["grouped"], ["steps"], to=TensorProto.FLOAT),
        helper.make_node("Sub", ["steps", "eight"], ["centred"]),
        *picked,
        helper.make_node("Unsqueeze", ["s", "last"], ["s1"]),
        helper.make_node("Mul", ["centred", "s1"], ["scaled"]),
        helper.make_node("Reshape", ["scaled", "rows"], ["y"]),
    ]
    made = [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()]
    return _model(nodes, [bytes_of_two, scale, *made])


def _model(
    nodes: Sequence[onnx.NodeProto], constants: Sequence[onnx.TensorProto]
) -> onnx.ModelProto:
    graph = helper.make_graph(
        list(nodes),
        "rows",
        [helper.make_tensor_value_info("ids", TensorProto.INT64, [1, "n"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, "n", WIDTH])],
        list(constants),
    )
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid(_DOMAIN, 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15, help="of interleaved calls")
    rounds = parser.parse_args(arguments).rounds
    rng = np.random.default_rng(0)
    weight_KN = rng.standard_normal((WIDTH, ENTRIES)).astype(np.float32)
    quantized = Rtn().quantize(weight_KN, Grid(4, GROUP))
    table = quantized.dequantized().T
    ids = {n: rng.integers(0, ENTRIES, (1, n)) for n in ROWS}
    sessions, kept = {}, {}
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "model.onnx"
        for name, model in forms(quantized).items():
            onnx.save(model, path)
            sessions[name] = make_session(path, Execution())
            constants = executed_graph(path, Execution()).constants.values()
            kept[name] = sum(_bytes(c.dtype) * prod(c.shape) for c in constants)
            got = sessions[name].run(None, {"ids": ids[ROWS[-1]]})[0]
            assert np.array_equal(got, table[ids[ROWS[-1]]]), name
    print("| form | " + " | ".join(f"{n} rows, us" for n in ROWS) + " | MB kept |")
    print("|---|" + "---:|" * (len(ROWS) + 1))
    times: dict[tuple[str, int], list[float]] = {(name, n): [] for name in sessions for n in ROWS}
    for _ in range(rounds):
        for (name, n), found in times.items():
            begin = time.thread_time()
            sessions[name].run(None, {"ids": ids[n]})
            found.append(time.thread_time() - begin)
    for name in sessions:
        row = " | ".join(f"{statistics.median(times[name, n]) * 1e6:.0f}" for n in ROWS)
        print(f"| {name} | {row} | {kept[name] / 1e6:.1f} |")
    return 0


def _bytes(dtype: str) -> float:
    kind: type = {"FLOAT": np.float32, "FLOAT16": np.float16, "INT64": np.int64}.get(dtype, np.int8)
    return 0.5 if dtype in ("INT4", "UINT4") else np.dtype(kind).itemsize


if __name__ == "__main__":
    raise SystemExit(main())
