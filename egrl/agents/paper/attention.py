"""Graph attention (arXiv 1710.10903) as one compiled kernel each way.

The layers are PyTorch Geometric's; what is compiled is what their message passing computes, edge by
edge and without an intermediate per edge and channel. A test holds it to the layers' own forward.

Axis letters: M nodes of all graphs of a batch, E edges, K heads, W channels of a head, C = K W,
G graphs that have parameters of their own (1 where all share them).
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
    """Softmax over what a node reads, times what is read, plus a bias: [M, C]."""

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401 - torch's context
        x_MC: Tensor,
        source_GKW: Tensor,
        sink_GKW: Tensor,
        bias_GC: Tensor,
        graph: Graph,
    ) -> Tensor:
        """Attend.

        Args:
            ctx: keeps what the way back needs.
            x_MC: transformed nodes, the channels of one head after another.
            source_GKW: what a node's channels give its logit where it is read.
            sink_GKW: what they give its logit as a reader, to be added.
            bias_GC: added to the result.
            graph: who reads what, itself included.
        """
        tensors = [t.contiguous() for t in (x_MC, source_GKW, sink_GKW, bias_GC)]
        x, source, sink, bias = (t.numpy() for t in tensors)
        out_MC, *kept = _attend(x, source, sink, bias, graph.begin_M, graph.reads_E)
        ctx.graph, ctx.kept = graph, kept
        ctx.save_for_backward(*tensors[:3])
        return torch.from_numpy(out_MC)

    @staticmethod
    def backward(
        ctx: Any,  # noqa: ANN401 - torch's context
        grad_MC: Tensor,
    ) -> tuple[Tensor | None, ...]:
        """Gradients of nodes, vectors and bias."""
        x, source, sink = (t.numpy() for t in ctx.saved_tensors)
        grads = _attend_back(
            grad_MC.contiguous().numpy(), x, source, sink, ctx.graph.begin_M, ctx.graph.reads_E,
            *ctx.kept,
        )  # fmt: skip
        return *(torch.from_numpy(grad) for grad in grads), None


@numba.njit(**_VECTORISED)  # type: ignore[untyped-decorator]
def _logits(x_MC: F32, source_GKW: F32, sink_GKW: F32) -> tuple[F32, F32]:
    """What every node and head adds to a logit: where it is read, and as a reader."""
    graphs, heads, width = source_GKW.shape
    nodes = len(x_MC)
    source_MK = np.empty((nodes, heads), np.float32)
    sink_MK = np.empty((nodes, heads), np.float32)
    for m in range(nodes):
        g = m * graphs // nodes
        for k in range(heads):
            source, sink = np.float32(0.0), np.float32(0.0)
            for w in range(width):
                x = x_MC[m, k * width + w]
                source += x * source_GKW[g, k, w]
                sink += x * sink_GKW[g, k, w]
            source_MK[m, k] = source
            sink_MK[m, k] = sink
    return source_MK, sink_MK


@compiled
def _shares(source_MK: F32, sink_MK: F32, begin_M: I32, reads_E: I32) -> F32:
    """The softmax of the logits of what a node reads, for every head: [E, K]."""
    nodes, heads = source_MK.shape
    share_EK = np.empty((len(reads_E), heads), np.float32)
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
    return share_EK


@numba.njit(**_VECTORISED)  # type: ignore[untyped-decorator]
def _attend(
    x_MC: F32, source_GKW: F32, sink_GKW: F32, bias_GC: F32, begin_M: I32, reads_E: I32
) -> tuple[F32, F32, F32, F32]:
    """The result, the share of every edge, and the two parts of the logits."""
    graphs, heads, width = source_GKW.shape
    nodes = len(x_MC)
    source_MK, sink_MK = _logits(x_MC, source_GKW, sink_GKW)
    share_EK = _shares(source_MK, sink_MK, begin_M, reads_E)
    out_MC = np.empty_like(x_MC)
    sum_W = np.empty(width, np.float32)  # Sums of few channels stay in registers.
    for m in range(nodes):
        g = m * graphs // nodes
        for k in range(heads):
            first = k * width
            for w in range(width):
                sum_W[w] = bias_GC[g, first + w]
            for e in range(begin_M[m], begin_M[m + 1]):
                n, share = reads_E[e], share_EK[e, k]
                for w in range(width):
                    sum_W[w] += share * x_MC[n, first + w]
            for w in range(width):
                out_MC[m, first + w] = sum_W[w]
    return out_MC, share_EK, source_MK, sink_MK


@numba.njit(**_VECTORISED)  # type: ignore[untyped-decorator]
def _attend_back(
    grad_MC: F32, x_MC: F32, source_GKW: F32, sink_GKW: F32, begin_M: I32, reads_E: I32,
    share_EK: F32, source_MK: F32, sink_MK: F32,
) -> tuple[F32, F32, F32, F32]:  # fmt: skip
    """Gradients of the nodes, of both vectors, and of the bias."""
    graphs, heads, width = source_GKW.shape
    nodes = len(x_MC)
    back_MC = np.zeros_like(x_MC)
    back_source_MK = np.zeros((nodes, heads), np.float32)
    back_sink_MK = np.zeros((nodes, heads), np.float32)
    dot_R = np.empty(nodes, np.float32)
    grad_W = np.empty(width, np.float32)
    for m in range(nodes):
        low, high = begin_M[m], begin_M[m + 1]
        for k in range(heads):
            first = k * width
            for w in range(width):
                grad_W[w] = grad_MC[m, first + w]
            mean = np.float32(0.0)
            for e in range(low, high):
                n, share = reads_E[e], share_EK[e, k]
                dot = np.float32(0.0)
                for w in range(width):
                    dot += grad_W[w] * x_MC[n, first + w]
                for w in range(width):
                    back_MC[n, first + w] += share * grad_W[w]
                dot_R[e - low] = dot
                mean += share * dot
            for e in range(low, high):
                n = reads_E[e]
                back = share_EK[e, k] * (dot_R[e - low] - mean)
                if source_MK[n, k] + sink_MK[m, k] < 0:
                    back *= np.float32(SLOPE)
                back_source_MK[n, k] += back
                back_sink_MK[m, k] += back
    back_source_GKW = np.zeros_like(source_GKW)
    back_sink_GKW = np.zeros_like(sink_GKW)
    back_bias_GC = np.zeros((graphs, heads * width), np.float32)
    for m in range(nodes):
        g = m * graphs // nodes
        for k in range(heads):
            source, sink = back_source_MK[m, k], back_sink_MK[m, k]
            for w in range(width):
                c = k * width + w
                back_source_GKW[g, k, w] += source * x_MC[m, c]
                back_sink_GKW[g, k, w] += sink * x_MC[m, c]
                back_bias_GC[g, c] += grad_MC[m, c]
                back_MC[m, c] += source * source_GKW[g, k, w] + sink * sink_GKW[g, k, w]
    return back_MC, back_source_GKW, back_sink_GKW, back_bias_GC
