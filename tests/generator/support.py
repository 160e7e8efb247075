"""What must hold of every generated workload, and how it compares with a lowered model."""

from dataclasses import replace

import onnx
import onnx_ir as ir

from graph_ir.datatypes import stored_bytes
from graph_ir.lower import lower
from graph_ir.passes.pipeline import run_lossless
from graph_ir.workload import Role, Split, Tensor, TensorKind, Workload


def lowered(proto: onnx.ModelProto, execution_type: str = "fp16") -> Workload:
    """The workload of a model whose shapes are static."""
    model = ir.from_proto(onnx.shape_inference.infer_shapes(proto, strict_mode=True))
    run_lossless(model)
    return lower(model, "main", execution_type).workload


def nameless(workload: Workload) -> tuple[list[object], list[Tensor]]:
    """All fields of all ops and tensors but their names and node names."""
    ops = [replace(op, name="", nodes=()) for op in workload.ops]
    return ops, [replace(tensor, name="") for tensor in workload.tensors]


def assert_same(generated: Workload, model: onnx.ModelProto) -> None:
    """Op by op and tensor by tensor; the first difference is shown."""
    expected = nameless(lowered(model, generated.execution_type))
    got = nameless(generated)
    for mine, theirs in zip((*got[0], *got[1]), (*expected[0], *expected[1]), strict=False):
        assert mine == theirs
    assert got == expected


def check(workload: Workload) -> None:
    """Names, roles, bytes, splits, lifetimes."""
    count = len(workload.ops)
    tensors = workload.tensors
    assert len({op.name for op in workload.ops}) == count
    assert len({tensor.name for tensor in tensors}) == len(tensors)
    first_use: dict[int, int] = {}
    last_use: dict[int, int] = {}
    writer: dict[int, int] = {}
    for at, op in enumerate(workload.ops):
        assert op.rows >= 1
        assert op.columns >= 1
        assert op.vector_ops >= 0
        assert op.vector_ops > 0 or op.mac_work or op.family in ("movement", "gather")
        assert op.layout == ("mac" if op.mac_work else op.layout)
        assert all(work.macs > 0 for work in op.mac_work)
        reads = [o for o in op.operands if o.role not in (Role.OUTPUT, Role.SCRATCH)]
        scratch = [o for o in op.operands if o.role is Role.SCRATCH]
        writes = [o for o in op.operands if o.role is Role.OUTPUT]
        assert list(op.operands) == [*reads, *scratch, *writes]
        assert len({(o.tensor, o.role) for o in op.operands}) == len(op.operands)
        assert len(writes) == 1
        for operand in op.operands:
            tensor = tensors[operand.tensor]
            assert 0 < operand.traffic_bytes <= tensor.size_bytes
            assert operand.halo_bytes >= 0
            assert tensor.start <= at < tensor.end
            assert Split.NONE not in operand.split_by
            assert not (Split.ROWS in operand.split_by and op.rows == 1)
            assert not (Split.COLUMNS in operand.split_by and op.columns == 1)
            first_use.setdefault(operand.tensor, at)
            last_use[operand.tensor] = at
        for operand in reads:
            made = tensors[operand.tensor].kind is TensorKind.ACTIVATION
            assert not made or operand.tensor in writer
        for operand in writes:
            assert operand.tensor not in writer
            writer[operand.tensor] = at
            assert tensors[operand.tensor].kind is not TensorKind.WEIGHT
    for index, tensor in enumerate(tensors):
        is_scratch = tensor.kind is TensorKind.SCRATCH
        assert is_scratch or tensor.size_bytes == stored_bytes(tensor.shape, tensor.data_type)
        lifetime = (tensor.start, tensor.end)
        if tensor.kind in (TensorKind.WEIGHT, TensorKind.STATE):
            assert lifetime == (0, count)
        elif is_scratch:
            assert lifetime == (first_use[index], first_use[index] + 1)
        elif tensor.kind is TensorKind.ACTIVATION:
            assert lifetime == (writer[index], last_use[index] + 1)
            assert last_use[index] > writer[index]
        elif index in writer:
            assert lifetime == (writer[index], count)
        else:
            assert lifetime == (0, last_use[index] + 1)
    kinds = [tensor.kind for tensor in tensors]
    assert any(kinds[index] is TensorKind.IO for index in writer)
    assert any(k is TensorKind.IO and index not in writer for index, k in enumerate(kinds))
