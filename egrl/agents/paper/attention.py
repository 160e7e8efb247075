"""Graph attention (arXiv 1710.10903) as one compiled kernel each way.

The layers are PyTorch Geometric's; what is compiled is what their message passing computes, edge by
edge and without an intermediate per edge and channel. A test holds it to the layers' own forward.

Axis letters: M nodes of all graphs of a batch, E edges, K heads, W channels of a head.
"""

from typing import Any

import numba
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from accelerator_sim.compiled import compiled
from egrl.agents.paper.topology import Graph

F32 = NDArray[np.float32]
I32 = NDArray[np.int32]

SLOPE = 0.2
"""Of the leaky ReLU, as in the paper."""

TINY = 1e-16
"""Added to the sum of a softmax, as PyTorch Geometric does."""

# Sums may be taken in the order that the machine's vectors like.
_VECTORISED = {"error_model": "numpy", "nogil": True, "fastmath": {"reassoc", "contract", "nsz"}}


class Attention(torch.autograd.Function):
    """Softmax over what a node reads, times what is read: [M, K, W]."""

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401 - torch's context
        x_MKW: Tensor,
        source_MK: Tensor,
        sink_MK: Tensor,
        graph: Graph,
    ) -> Tensor:
        """Attend.

        Args:
            ctx: keeps what the way back needs.
            x_MKW: transformed nodes.
            source_MK: logit of a node where it is read.
            sink_MK: logit of a node that reads, to be added.
            graph: who reads what, itself included.
        """
        x_MKW, source_MK, sink_MK = (t.contiguous() for t in (x_MKW, source_MK, sink_MK))
        share_EK, out_MKW = _attend(
            x_MKW.numpy(), source_MK.numpy(), sink_MK.numpy(), graph.begin_M, graph.reads_E
        )
        ctx.graph, ctx.share_EK = graph, share_EK
        ctx.save_for_backward(x_MKW, source_MK, sink_MK)
        return torch.from_numpy(out_MKW)

    @staticmethod
    def backward(
        ctx: Any,  # noqa: ANN401 - torch's context
        grad_MKW: Tensor,
    ) -> tuple[Tensor | None, ...]:
        """Gradients of nodes and logits."""
        x_MKW, source_MK, sink_MK = ctx.saved_tensors
        grads = _attend_back(
            grad_MKW.contiguous().numpy(), x_MKW.numpy(), source_MK.numpy(), sink_MK.numpy(),
            ctx.graph.begin_M, ctx.graph.reads_E, ctx.share_EK,
        )  # fmt: skip
        return *(torch.from_numpy(grad) for grad in grads), None


@numba.njit(**_VECTORISED)  # type: ignore[untyped-decorator]
def _dot(a_W: F32, b_W: F32) -> np.float32:
    total = np.float32(0.0)
    for w in range(len(a_W)):
        total += a_W[w] * b_W[w]
    return total


@numba.njit(**_VECTORISED)  # type: ignore[untyped-decorator]
def _add_scaled(out_W: F32, factor: np.float32, x_W: F32) -> None:
    for w in range(len(out_W)):
        out_W[w] += factor * x_W[w]


@compiled
def _attend(
    x_MKW: F32, source_MK: F32, sink_MK: F32, begin_M: I32, reads_E: I32
) -> tuple[F32, F32]:
    """The share of every edge, and the result."""
    nodes, heads, _ = x_MKW.shape
    share_EK = np.empty((len(reads_E), heads), np.float32)
    out_MKW = np.zeros_like(x_MKW)
    for m in range(nodes):
        low, high = begin_M[m], begin_M[m + 1]
        for k in range(heads):
            largest = np.float32(-np.inf)
            for e in range(low, high):
                logit = source_MK[reads_E[e], k] + sink_MK[m, k]
                if logit < 0:
                    logit *= np.float32(SLOPE)
                share_EK[e, k] = logit
                largest = max(largest, logit)
            total = np.float32(TINY)
            for e in range(low, high):
                raised = np.exp(share_EK[e, k] - largest)
                share_EK[e, k] = raised
                total += raised
            for e in range(low, high):
                share_EK[e, k] /= total
                _add_scaled(out_MKW[m, k], share_EK[e, k], x_MKW[reads_E[e], k])
    return share_EK, out_MKW


@compiled
def _attend_back(
    grad_MKW: F32, x_MKW: F32, source_MK: F32, sink_MK: F32, begin_M: I32, reads_E: I32,
    share_EK: F32,
) -> tuple[F32, F32, F32]:  # fmt: skip
    """Gradients of the nodes, of their logits where read, and of their logits as readers."""
    nodes, heads, _ = x_MKW.shape
    back_MKW = np.zeros_like(x_MKW)
    back_source_MK = np.zeros((nodes, heads), np.float32)
    back_sink_MK = np.zeros((nodes, heads), np.float32)
    back_R = np.empty(nodes, np.float32)
    for m in range(nodes):
        low, high = begin_M[m], begin_M[m + 1]
        for k in range(heads):
            grad_W = grad_MKW[m, k]
            mean = np.float32(0.0)
            for e in range(low, high):
                n = reads_E[e]
                back_R[e - low] = _dot(grad_W, x_MKW[n, k])
                mean += share_EK[e, k] * back_R[e - low]
                _add_scaled(back_MKW[n, k], share_EK[e, k], grad_W)
            for e in range(low, high):
                n = reads_E[e]
                back = share_EK[e, k] * (back_R[e - low] - mean)
                if source_MK[n, k] + sink_MK[m, k] < 0:
                    back *= np.float32(SLOPE)
                back_source_MK[n, k] += back
                back_sink_MK[m, k] += back
    return back_MKW, back_source_MK, back_sink_MK
