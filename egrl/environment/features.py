"""The graph that an agent sees: the EGRL paper's 19 features of every op, and the data flow.

Axis letters: N ops, F features, E edges. Counts and bytes are log(1 + value), divided by the
largest of the graph, so that every feature is between 0 and 1 whatever the model; the paper does
not say how it scales them. `op_id` is the kind of op, and of the "ops and weights left" the paper
says no more than the names: here what comes after an op in execution order.
"""

from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

from graph_ir.workload import Op, OpFamily, Tensor, TensorKind, Workload

FEATURES = (
    "op_id", "weight_size", "ifm_x", "ifm_y", "ifm_z", "ofm_x", "ofm_y", "ofm_z", "ifm_size",
    "ofm_size", "n_ops_left", "n_w_left", "groups", "kernel_x", "kernel_y", "stride", "pad",
    "dilation", "batch",
)  # fmt: skip
_RESIDENT = (TensorKind.WEIGHT, TensorKind.STATE)
_FAMILIES = tuple(OpFamily)


@dataclass(frozen=True, slots=True)
class OpGraph:
    """Ops as nodes.

    Attributes:
        features_NF: float32, in the order of `FEATURES`, each between 0 and 1.
        edges_2E: int64, producer and consumer, each pair once, in order.
    """

    features_NF: NDArray[np.float32]
    edges_2E: NDArray[np.int64]


def build_graph(workload: Workload) -> OpGraph:
    """The graph of a workload."""
    raw_NF = np.array(_features(workload), np.float64)
    logs_NF = np.log1p(raw_NF)
    features_NF = logs_NF / np.maximum(logs_NF.max(axis=0), 1e-9)
    features_NF[:, 0] = raw_NF[:, 0] / len(_FAMILIES)
    return OpGraph(features_NF.astype(np.float32), _edges(workload))


def _edges(workload: Workload) -> NDArray[np.int64]:
    producers: dict[int, list[int]] = {}
    edges: set[tuple[int, int]] = set()
    for index, op in enumerate(workload.ops):
        for operand in op.operands:
            if operand.is_write:
                producers.setdefault(operand.tensor, []).append(index)
    for index, op in enumerate(workload.ops):
        for operand in op.operands:
            if not operand.is_write:
                edges.update((p, index) for p in producers.get(operand.tensor, []) if p != index)
    return np.array(sorted(edges), np.int64).reshape(-1, 2).T.copy()


def _features(workload: Workload) -> list[list[float]]:
    tensors = workload.tensors
    weights_N = [_resident_bytes(workload, op) for op in workload.ops]
    rows = []
    for index, op in enumerate(workload.ops):
        reads = [
            tensors[o.tensor]
            for o in op.operands
            if not o.is_write and tensors[o.tensor].kind not in (*_RESIDENT, TensorKind.SCRATCH)
        ]
        writes = [tensors[o.tensor] for o in op.operands if o.is_write]
        work = op.mac_work[0] if op.mac_work else None
        window = op.window if work is None else work.window
        kernel = (1, 1) if window is None else window.kernel
        stride = 1 if window is None else window.strides[0]
        dilation = 1 if window is None else window.dilations[0]
        pad = 0
        if window is not None:
            covered = (window.output_size[0] - 1) * stride + dilation * (kernel[0] - 1) + 1
            pad = max(0, covered - window.input_size[0])
        rows.append([
            float(_FAMILIES.index(op.family)), float(weights_N[index]),
            *_extents(reads), *_extents(writes),
            float(sum(t.size_bytes for t in reads)), float(sum(t.size_bytes for t in writes)),
            float(len(workload.ops) - 1 - index), float(sum(weights_N[index + 1 :])),
            float(1 if work is None else work.batch), float(kernel[1]), float(kernel[0]),
            float(stride), float(pad), float(dilation), float(_batch(writes)),
        ])  # fmt: skip
    return rows


def _resident_bytes(workload: Workload, op: Op) -> int:
    """Bytes of the weights and states of an op, each once."""
    mine = dict.fromkeys(operand.tensor for operand in op.operands)
    tensors = [workload.tensors[t] for t in mine]
    return sum(t.size_bytes for t in tensors if t.kind in _RESIDENT)


def _batch(tensors: list[Tensor]) -> int:
    shape = tensors[0].shape if tensors else ()
    return shape[0] if len(shape) > 2 else 1


def _extents(tensors: list[Tensor]) -> tuple[float, float, float]:
    """Width, height and channels of the first of the feature maps; 0 where there is none."""
    if not tensors:
        return 0.0, 0.0, 0.0
    tensor = tensors[0]
    shape = tensor.shape[1:] if len(tensor.shape) > 2 else tensor.shape
    if not shape:
        return 1.0, 1.0, 1.0
    first = len(shape) > 1 and tensor.channels > 0 and shape[0] == tensor.channels
    channels, rest = (shape[0], shape[1:]) if first else (shape[-1], shape[:-1])
    width = rest[-1] if rest else 1
    return float(width), float(prod(rest[:-1])), float(channels)
