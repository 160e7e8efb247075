"""Runs a lowered model op by op, and checks what must hold of every workload."""

from collections.abc import Callable

import numpy as np
import onnx
import onnx_ir as ir

from graph_ir.datatypes import stored_bytes
from graph_ir.lower import Lowered
from graph_ir.model import Model
from graph_ir.onnx_values import is_constant
from graph_ir.subgraph import SubgraphExtractor
from graph_ir.workload import Role, Split, TensorKind
from tests.graph_ir.numerics import Arrays, open_session

LoadTiny = Callable[[str], tuple[onnx.ModelProto, Model]]


def constant_arrays(model: ir.Model) -> Arrays:
    """Every constant of a model by name."""
    values = list(model.graph.initializers.values())
    values += [v for node in model.graph for v in node.outputs if is_constant(v)]
    found: Arrays = {}
    for value in values:
        tensor = ir.convenience.get_const_tensor(value)
        assert tensor is not None
        found[value.name or ""] = tensor.numpy()
    return found


def run_op_by_op(model: ir.Model, lowered: Lowered, feeds: Arrays) -> Arrays:
    """Executes each op as a model of its own, on what the workload says that it reads."""
    extractor = SubgraphExtractor(model)
    memory: Arrays = {**constant_arrays(model), **feeds}
    for group in lowered.groups:
        cut = extractor.extract(group.node_names, group.output_values)
        assert sorted(value.name for value in cut.graph.input) == sorted(group.input_values)
        assert [value.name for value in cut.graph.output] == list(group.output_values)
        embedded = {tensor.name for tensor in cut.graph.initializer}
        assert embedded == set(group.immediates) - set(group.input_values)
        if all(onnx.defs.has(node.op_type, node.domain) for node in cut.graph.node):
            onnx.checker.check_model(cut)
        _embed_packed(cut, model)
        session = open_session(cut)
        reads = {value.name: memory[value.name] for value in session.get_inputs()}
        results = session.run(list(group.output_values), reads)
        memory.update(zip(group.output_values, results, strict=True))
    return {value.name or "": memory[value.name or ""] for value in model.graph.outputs}


def _embed_packed(cut: onnx.ModelProto, model: ir.Model) -> None:
    """Weights of sub-byte types, which numpy cannot hand to onnxruntime, go into the file."""
    packed = (onnx.TensorProto.INT4, onnx.TensorProto.UINT4)
    for value in [v for v in cut.graph.input if v.type.tensor_type.elem_type in packed]:
        cut.graph.input.remove(value)
        tensor = model.graph.initializers[value.name].const_value
        assert tensor is not None
        cut.graph.initializer.append(ir.to_proto(tensor))


def check_workload(lowered: Lowered) -> None:
    """Invariants of any workload."""
    workload = lowered.workload
    count = len(workload.ops)
    tensors = workload.tensors
    assert len({op.name for op in workload.ops}) == count
    assert len({tensor.name for tensor in tensors}) == len(tensors)
    assert [group.op_name for group in lowered.groups] == [op.name for op in workload.ops]
    first_use: dict[int, int] = {}
    last_use: dict[int, int] = {}
    writer: dict[int, int] = {}
    for at, (op, group) in enumerate(zip(workload.ops, lowered.groups, strict=True)):
        assert op.nodes == group.node_names
        assert op.rows >= 1
        assert op.columns >= 1
        assert op.vector_ops >= 0
        assert op.vector_ops > 0 or op.mac_work or op.family in ("movement", "gather")
        reads = [o for o in op.operands if o.role not in (Role.OUTPUT, Role.SCRATCH)]
        writes = [o for o in op.operands if o.role is Role.OUTPUT]
        scratch = [o for o in op.operands if o.role is Role.SCRATCH]
        assert list(op.operands) == [*reads, *scratch, *writes]
        assert len({(o.tensor, o.role) for o in op.operands}) == len(op.operands)
        assert list(dict.fromkeys(tensors[o.tensor].name for o in reads)) == list(
            group.input_values
        )
        assert [tensors[o.tensor].name for o in writes] == list(group.output_values)
        assert writes
        for operand in op.operands:
            tensor = tensors[operand.tensor]
            assert 0 <= operand.traffic_bytes <= tensor.size_bytes
            assert operand.halo_bytes >= 0
            assert tensor.start <= at < tensor.end
            assert len(set(operand.split_by)) == len(operand.split_by)
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
    for index, tensor in enumerate(tensors):
        assert tensor.kind is TensorKind.SCRATCH or tensor.size_bytes == stored_bytes(
            tensor.shape, tensor.data_type
        )
        lifetime = (tensor.start, tensor.end)
        if tensor.kind is TensorKind.WEIGHT:
            assert lifetime == (0, count)
        elif tensor.kind is TensorKind.SCRATCH:
            assert lifetime == (first_use[index], first_use[index] + 1)
        elif tensor.kind is TensorKind.ACTIVATION:
            assert lifetime == (writer[index], last_use[index] + 1)
        else:
            assert tensor.start == writer.get(index, 0)
            assert tensor.end in (last_use[index] + 1, count)


def relative_error(got: np.ndarray, expected: np.ndarray) -> float:
    """Largest difference over the range of what is expected."""
    if expected.size == 0 or not np.issubdtype(expected.dtype, np.floating):
        return 0.0 if np.array_equal(got, expected) else float("inf")
    wide = expected.astype(np.float64)
    extent = max(float(np.ptp(wide)), float(np.abs(wide).max()), 1e-30)
    return float(np.abs(got.astype(np.float64) - wide).max()) / extent
