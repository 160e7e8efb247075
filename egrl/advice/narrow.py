"""Narrower weights: the workload as it would be if some weights were stored as int8.

Bytes and the type pair of the arithmetic change; the graph is not compressed here, and what that
does to its outputs is another question.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from accelerator_sim.accelerator import Accelerator
from accelerator_sim.timeline import Timeline
from graph_ir.datatypes import BITS, stored_bytes
from graph_ir.workload import Op, Operand, Role, TensorKind, Workload

NARROW_TYPE = "int8"
WIDE_TYPES = ("fp64", "fp32", "fp16", "bf16")


def narrowable(workload: Workload, accelerator: Accelerator) -> list[int]:
    """Weights that could be stored as int8: only factors of one product each, with a rate."""
    array = accelerator.mac_array
    if array is None:
        return []
    fits = {
        t: tensor.kind is TensorKind.WEIGHT
        and tensor.alias_of is None
        and tensor.data_type in WIDE_TYPES
        for t, tensor in enumerate(workload.tensors)
    }
    used: set[int] = set()
    for tensor in workload.tensors:
        if tensor.alias_of is not None:
            fits[tensor.alias_of] = False
    for op in workload.ops:
        for operand in op.operands:
            t = operand.tensor
            if not fits[t]:
                continue
            pair = _pair(op, operand)
            has_rate = pair in array.relative_rate and pair in accelerator.energy.mac_j
            if operand.role is Role.RIGHT and has_rate:
                used.add(t)
            elif operand.role is not Role.OTHER or _is_product_of(op, t):
                fits[t] = False
    return [t for t in range(len(workload.tensors)) if fits[t] and t in used]


def _is_product_of(op: Op, tensor: int) -> bool:
    return any(o.tensor == tensor and o.role in (Role.LEFT, Role.RIGHT) for o in op.operands)


def _pair(op: Op, operand: Operand) -> str:
    """`activation*int8`, or "" where the operand is not the right factor of the one product."""
    if operand.role is not Role.RIGHT or len(op.mac_work) != 1:
        return ""
    return f"{op.mac_work[0].left_type}*{NARROW_TYPE}"


def with_narrow(workload: Workload, weights: Iterable[int]) -> Workload:
    """The workload with these weights (of `narrowable`) stored as int8."""
    chosen = frozenset(weights)
    tensors = list(workload.tensors)
    for t in sorted(chosen):
        size = stored_bytes(tensors[t].shape, NARROW_TYPE)
        tensors[t] = replace(tensors[t], data_type=NARROW_TYPE, size_bytes=size)
    ops = tuple(_narrow_op(op, workload, chosen) for op in workload.ops)
    return replace(workload, ops=ops, tensors=tuple(tensors))


def _narrow_op(op: Op, workload: Workload, chosen: frozenset[int]) -> Op:
    if not any(operand.tensor in chosen for operand in op.operands):
        return op
    operands = []
    work = op.mac_work
    for operand in op.operands:
        if operand.tensor not in chosen:
            operands.append(operand)
            continue
        bits = BITS[workload.tensors[operand.tensor].data_type]
        operands.append(
            replace(
                operand,
                traffic_bytes=_scaled(operand.traffic_bytes, bits),
                halo_bytes=_scaled(operand.halo_bytes, bits),
            )
        )
        if operand.role is Role.RIGHT:
            work = (replace(work[0], right_type=NARROW_TYPE),)
    return replace(op, operands=tuple(operands), mac_work=work)


def _scaled(size_bytes: int, bits: int) -> int:
    return -(-size_bytes * BITS[NARROW_TYPE] // bits)


def stalling(workload: Workload, timeline: Timeline, weights: Sequence[int]) -> list[int]:
    """Those of the weights that ops waited for, longest wait first."""
    waited: dict[str, float] = {}
    for op in timeline.ops:
        if op.stall_s > 0:
            waited[op.stall_tensor] = waited.get(op.stall_tensor, 0.0) + op.stall_s
    seconds = {t: waited.get(workload.tensors[t].name, 0.0) for t in weights}
    return sorted((t for t in weights if seconds[t] > 0), key=lambda t: (-seconds[t], t))
