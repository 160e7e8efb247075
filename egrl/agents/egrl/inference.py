"""The network's forward pass without torch, for those who place and do not train.

It computes what `network.PolicyNetwork` computes, on the weights of its checkpoint, in float32.
Importing torch takes longer than placing most models.

Axis letters: T tensors, N ops, H homes, E operands, R relations, D width, F features.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from accelerator_sim.compiled import compiled
from egrl.agents.egrl.observation import ROLES, Observation
from egrl.agents.egrl.spans import span_mean_LT

F32 = NDArray[np.float32]
I64 = NDArray[np.int64]
Weights = Mapping[str, F32]

NORM_EPSILON = 1e-5


def infer(weights: Weights, seen: Observation) -> tuple[F32, F32]:
    """Corrections of the priority [T] and of the preferences [T, H].

    Args:
        weights: by the names of torch's state dict.
        seen: a problem.
    """
    tensor_TD, _, pair_THD = _trunk(weights, seen)
    tensors, homes = seen.allowed_TH.shape
    seen_THD = np.broadcast_to(tensor_TD[:, np.newaxis], (tensors, homes, tensor_TD.shape[1]))
    preference_TH1 = _mlp(weights, "preference", np.concatenate([seen_THD, pair_THD], axis=2))
    return _mlp(weights, "priority", tensor_TD)[:, 0], preference_TH1[:, :, 0]


def op_embeddings(weights: Weights, seen: Observation) -> F32:
    """What the network makes of every op, [N, D]: for heads that decide about ops."""
    return _trunk(weights, seen)[1]


def _trunk(weights: Weights, seen: Observation) -> tuple[F32, F32, F32]:
    """Tensors [T, D], ops [N, D] and pairs [T, H, D] after all rounds of messages."""
    tensors, homes = seen.allowed_TH.shape
    home_HD = _machine(weights, seen)
    home_THD = np.broadcast_to(home_HD, (tensors, homes, home_HD.shape[1]))
    pair_THD = _mlp(weights, "pair_in", np.concatenate([seen.pair_THF, home_THD], axis=2))
    allowed_TH1 = seen.allowed_TH[:, :, np.newaxis]
    pooled_TD = (pair_THD * allowed_TH1).sum(1) / allowed_TH1.sum(1)
    tensor_TD = _mlp(weights, "tensor_in", np.concatenate([seen.tensor_TF, pooled_TD], axis=1))
    family_NF = seen.family_KF[seen.family_N]
    op_ND = _mlp(weights, "op_in", np.concatenate([seen.op_NF, family_NF], axis=1))
    layer = 0
    while f"rounds.{layer}.tensor_norm.weight" in weights:
        tensor_TD, op_ND = _round(weights, f"rounds.{layer}", tensor_TD, op_ND, seen)
        layer += 1
    return tensor_TD, op_ND, pair_THD


def _machine(weights: Weights, seen: Observation) -> F32:
    core_D = _linear(weights, "machine.core", seen.core_F)
    home_HD = _mlp(weights, "machine.home", seen.home_HF) + core_D
    homes, width = home_HD.shape
    sent = (home_HD @ weights["machine.related.weight"].T).reshape(homes, -1, width)
    heard_HD = np.einsum("rij,jrd->id", seen.relation_RHH, sent) / np.float32(homes)
    joined: F32 = home_HD + _mlp(weights, "machine.join", np.concatenate([home_HD, heard_HD], 1))
    return joined


def _round(
    weights: Weights, name: str, tensor_TD: F32, op_ND: F32, seen: Observation
) -> tuple[F32, F32]:
    if f"{name}.to_op.weight" not in weights:  # the control without edges
        alone_TD = tensor_TD + _mlp(weights, f"{name}.tensor", tensor_TD)
        return _norm(weights, f"{name}.tensor_norm", alone_TD), op_ND
    ops, tensors, width = len(op_ND), len(tensor_TD), tensor_TD.shape[1]
    sent = (tensor_TD @ weights[f"{name}.to_op.weight"].T).reshape(tensors, len(ROLES), width)
    used_ND = _gather_sum(sent, seen.use_tensor_E, seen.use_role_E, seen.use_op_E, ops)
    along_ND = _along(weights, f"{name}.along", op_ND)
    live_ND = _live(tensor_TD, seen.start_T, seen.end_T, ops)
    op_ND = _norm(
        weights,
        f"{name}.op_norm",
        op_ND + _mlp(weights, f"{name}.op", np.concatenate([op_ND, used_ND, along_ND, live_ND], 1)),
    )
    sent = (op_ND @ weights[f"{name}.to_tensor.weight"].T).reshape(ops, len(ROLES), width)
    using_TD = _gather_sum(sent, seen.use_op_E, seen.use_role_E, seen.use_tensor_E, tensors)
    count_T = np.bincount(seen.use_tensor_E, minlength=tensors)
    using_TD /= np.maximum(1, count_T)[:, np.newaxis].astype(np.float32)
    over_TD = span_mean_LT(op_ND.T.astype(np.float64), seen.start_T, seen.end_T).T
    joined = np.concatenate([tensor_TD, using_TD, over_TD.astype(np.float32)], axis=1)
    changed_TD = tensor_TD + _mlp(weights, f"{name}.tensor", joined)
    return _norm(weights, f"{name}.tensor_norm", changed_TD), op_ND


def _linear(weights: Weights, name: str, value: F32) -> F32:
    found: F32 = value @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]
    return found


def _mlp(weights: Weights, name: str, value: F32) -> F32:
    hidden = _linear(weights, f"{name}.0", value)
    gate: F32 = np.float32(1.0) / (np.float32(1.0) + np.exp(-hidden))
    return _linear(weights, f"{name}.2", hidden * gate)


def _norm(weights: Weights, name: str, value: F32) -> F32:
    centred = value - value.mean(axis=1, keepdims=True)
    scaled = centred / np.sqrt((centred**2).mean(axis=1, keepdims=True) + np.float32(NORM_EPSILON))
    found: F32 = scaled * weights[f"{name}.weight"] + weights[f"{name}.bias"]
    return found


def _along(weights: Weights, name: str, op_ND: F32) -> F32:
    """A convolution along the execution order, zeros beyond its ends."""
    kernel = weights[f"{name}.weight"]
    window = kernel.shape[2]
    padded = np.pad(op_ND, ((window // 2, window // 2), (0, 0)))
    found_ND: F32 = np.tile(weights[f"{name}.bias"], (len(op_ND), 1))
    for k in range(window):
        found_ND += padded[k : k + len(op_ND)] @ kernel[:, :, k].T
    return found_ND


def _live(tensor_TD: F32, start_T: I64, end_T: I64, ops: int) -> F32:
    """Mean of the tensors that are live at every op."""
    tensors, width = tensor_TD.shape
    sent = np.concatenate([tensor_TD, np.ones((tensors, 1), np.float32)], axis=1)[:, np.newaxis]
    index, role = np.arange(tensors), np.zeros(tensors, np.int64)
    begun = _gather_sum(sent, index, role, start_T, ops + 1)
    ended = _gather_sum(sent, index, role, end_T, ops + 1)
    summed = (begun - ended).astype(np.float64).cumsum(axis=0)[:ops]
    mean: F32 = (summed[:, :width] / np.maximum(1.0, summed[:, width:])).astype(np.float32)
    return mean


@compiled
def _gather_sum(sent: F32, from_E: I64, role_E: I64, to_E: I64, count: int) -> F32:
    """What every receiver is sent, summed: rows of `sent` are senders, then roles."""
    found = np.zeros((count, sent.shape[2]), np.float32)
    for e in range(from_E.shape[0]):
        for d in range(sent.shape[2]):
            found[to_E[e], d] += sent[from_E[e], role_E[e], d]
    return found
