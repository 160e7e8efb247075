"""Seeded random workloads: chains with branches, residual joins and shared weights.

Used by the engine's benchmark and by property tests; shapes are those of ordinary networks.
"""

import numpy as np

from graph_ir.datatypes import stored_bytes
from graph_ir.workload import (
    MacWork,
    Op,
    Operand,
    OpFamily,
    Role,
    Split,
    Tensor,
    TensorKind,
    Workload,
)

BOTH = (Split.ROWS, Split.COLUMNS)


def random_workload(
    op_count: int, rng: np.random.Generator, data_type: str = "fp16", wide: bool = True
) -> Workload:
    """A connected workload of `op_count` ops.

    Args:
        op_count: at least 1.
        rng: source of all randomness.
        data_type: execution type.
        wide: sizes up to megabytes; otherwise up to some kilobytes.
    """
    scale = 1 if wide else 16
    extents: list[tuple[int, int]] = [(int(rng.integers(1, 1024 // scale + 2)), 64)]
    kinds: list[TensorKind] = [TensorKind.IO]
    types: list[str] = [data_type]
    names = ["input"]
    last_use: list[int] = [0]
    producer: list[int] = [0]
    ops: list[Op] = []
    activations = [0]

    def add(name: str, kind: TensorKind, shape: tuple[int, int], op: int) -> int:
        names.append(name)
        kinds.append(kind)
        extents.append(shape)
        types.append(data_type)
        last_use.append(op)
        producer.append(op)
        return len(names) - 1

    def bytes_of(tensor: int) -> int:
        return stored_bytes(extents[tensor], data_type)

    shared_weights: dict[tuple[int, int], int] = {}
    for i in range(op_count):
        back = min(len(activations), int(rng.geometric(0.6)))
        source = activations[-back]
        rows, inner = extents[source]
        last_use[source] = i
        draw = rng.random()
        reads: list[Operand] = []
        if draw < 0.6:
            columns = int(rng.integers(8, 2048 // scale + 9))
            key = (inner, columns)
            if key in shared_weights and rng.random() < 0.5:
                weight = shared_weights[key]
            else:
                weight = add(f"weight{i}", TensorKind.WEIGHT, key, i)
                shared_weights[key] = weight
            reads = [
                Operand(source, Role.LEFT, bytes_of(source), (Split.ROWS,)),
                Operand(weight, Role.RIGHT, bytes_of(weight), (Split.COLUMNS,)),
            ]
            work: tuple[MacWork, ...] = (
                MacWork(1, rows, inner, columns, 1, False, data_type, data_type),
            )
            family, vector_ops = OpFamily.MATMUL, rows * columns
        else:
            columns = inner
            peers = [a for a in activations[-64:] if extents[a] == extents[source] and a != source]
            reads = [Operand(source, Role.OTHER, bytes_of(source), BOTH)]
            if peers and rng.random() < 0.7:
                peer = peers[int(rng.integers(len(peers)))]
                last_use[peer] = i
                reads.append(Operand(peer, Role.OTHER, bytes_of(peer), BOTH))
            if rng.random() < 0.2:
                scratch = add(f"scratch{i}", TensorKind.SCRATCH, (8, 64), i)
                reads.append(Operand(scratch, Role.SCRATCH, bytes_of(scratch), BOTH))
            work = ()
            family, vector_ops = OpFamily.ELEMENTWISE, rows * columns * 2
        kind = TensorKind.IO if i == op_count - 1 else TensorKind.ACTIVATION
        output = add(f"activation{i}", kind, (rows, columns), i)
        activations.append(output)
        ops.append(
            Op(
                name=f"op{i}",
                family=family,
                nodes=(f"node{i}",),
                operands=(*reads, Operand(output, Role.OUTPUT, bytes_of(output), BOTH)),
                mac_work=work,
                vector_ops=vector_ops,
                rows=rows,
                columns=columns,
                layout="mac" if work else "vector",
                execution_type=data_type,
            )
        )
    tensors = tuple(
        _tensor(names[t], kinds[t], extents[t], data_type, producer[t], last_use[t], op_count)
        for t in range(len(names))
    )
    return Workload(f"random{op_count}", data_type, tuple(ops), tensors)


def _tensor(
    name: str,
    kind: TensorKind,
    shape: tuple[int, int],
    data_type: str,
    producer: int,
    last_use: int,
    op_count: int,
) -> Tensor:
    start, end = producer, last_use + 1
    if kind is TensorKind.WEIGHT:
        start, end = 0, op_count
    elif kind is TensorKind.IO:
        start, end = (0, last_use + 1) if name == "input" else (producer, op_count)
    size = stored_bytes(shape, data_type)
    return Tensor(name, kind, shape, data_type, size, start, end, channels=shape[1])
