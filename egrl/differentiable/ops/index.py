"""Operators that look elements up by their position, or write them there."""

import torch
from torch import Tensor

from egrl.differentiable.operator import Function, Operands, Operator, needed


def _gather(operator: Operator, operands: Operands) -> tuple[Tensor, ...]:
    data, indices = needed(operands, 0), needed(operands, 1).long()
    axis = operator.integer("axis", 0) % data.ndim
    indices = torch.where(indices < 0, indices + data.shape[axis], indices)
    if axis == 0:
        return (data[indices],)
    picked = data.index_select(axis, indices.reshape(-1))
    return (picked.reshape(*data.shape[:axis], *indices.shape, *data.shape[axis + 1 :]),)


def _gather_elements(operator: Operator, operands: Operands) -> tuple[Tensor, ...]:
    data, indices = needed(operands, 0), needed(operands, 1).long()
    axis = operator.integer("axis", 0)
    indices = torch.where(indices < 0, indices + data.shape[axis], indices)
    return (torch.gather(data, axis, indices),)


def _gather_nd(operator: Operator, operands: Operands) -> tuple[Tensor, ...]:
    data, indices = needed(operands, 0), needed(operands, 1).long()
    batch = operator.integer("batch_dims", 0)
    # The axes that data and indices share are looked up by their own position.
    leading = tuple(
        torch.arange(data.shape[axis]).reshape((-1,) + (1,) * (indices.ndim - 2 - axis))
        for axis in range(batch)
    )
    return (data[leading + tuple(indices.unbind(-1))],)


def _scatter_nd(operator: Operator, operands: Operands) -> tuple[Tensor, ...]:
    data, indices, updates = (needed(operands, at) for at in range(3))
    places = tuple(indices.long().unbind(-1))
    reduction = operator.text("reduction", "none")
    if reduction not in ("none", "add"):
        raise operator.fail(f"expected ScatterND that replaces or adds, got {reduction}")
    return (torch.index_put(data, places, updates, accumulate=reduction == "add"),)


def _scatter_elements(operator: Operator, operands: Operands) -> tuple[Tensor, ...]:
    data, indices, updates = (needed(operands, at) for at in range(3))
    axis, reduction = operator.integer("axis", 0), operator.text("reduction", "none")
    indices = torch.where(indices < 0, indices + data.shape[axis], indices).long()
    if reduction == "none":
        return (torch.scatter(data, axis, indices, updates),)
    if reduction == "add":
        return (torch.scatter_add(data, axis, indices, updates),)
    raise operator.fail(f"expected ScatterElements that replaces or adds, got {reduction}")


INDEX: dict[str, Function] = {
    "Gather": _gather,
    "GatherElements": _gather_elements,
    "GatherND": _gather_nd,
    "ScatterElements": _scatter_elements,
    "ScatterND": _scatter_nd,
}
