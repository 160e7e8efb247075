"""An encoder in training: quantized weights, trained biases and norms, and its float teacher."""

from collections.abc import Mapping, Sequence
from itertools import chain

import onnx_ir as ir
import torch
from torch import Tensor

from egrl.compression.methods.attention_maps import find_attention
from egrl.compression.methods.blocks import dependent_nodes
from egrl.compression.methods.distillation import Knowledge, Weights, distance
from egrl.compression.methods.fake_quantized import FakeQuantized
from egrl.compression.methods.torch_runs import in_parallel
from egrl.differentiable.graph import TorchGraph, Use
from egrl.differentiable.types import as_tensor
from graph_ir.compression.grid import Grid
from graph_ir.compression.method import Feeds
from graph_ir.compression.sites import Site
from graph_ir.onnx_values import is_constant, op_key

Values = dict[ir.Value, Tensor]

# At which inputs an operator has a scale or a bias for each channel.
_CHANNEL_INPUTS = {
    "Add": (0, 1),
    "Gemm": (2,),
    "LayerNormalization": (1, 2),
    "Mul": (0, 1),
    "RMSNormalization": (1,),
}


class Student:
    """A model whose products read quantized weights.

    Attributes:
        weights: in training, by site.
        others: other trained constants.
    """

    def __init__(
        self,
        model: ir.Model,
        sites: Sequence[Site],
        grids: Mapping[str, Grid],
        scale_gradient: str,
        loss: Weights,
        samples: Sequence[Feeds],
    ) -> None:
        """Args: the model, how each site is quantized and trained, samples for outputs' sizes."""
        self._graph = TorchGraph(model.graph)
        self._inputs = tuple(model.graph.inputs)
        self._loss = loss
        self.weights = {
            site: FakeQuantized(site.weight_KN(), grids[site.name], scale_gradient)
            for site in sites
        }
        self.others: Values = {
            value: as_tensor(tensor.numpy()).clone()
            for value in channel_constants(model.graph, sites)
            if (tensor := value.const_value) is not None
        }
        self._outputs = [v for v in model.graph.outputs if v.dtype == ir.DataType.FLOAT]
        found = find_attention(model.graph)
        self._attention = found[-1] if found else None
        self._squares = self._mean_squares(samples)

    def parameters(self) -> list[Tensor]:
        """Everything trained: weights, then factors of scales, then the other constants."""
        weights = list(self.weights.values())
        return (
            [w.weight_GSN for w in weights]
            + [w.factor_GN for w in weights]
            + [*self.others.values()]
        )

    def losses(self, samples: Sequence[Feeds]) -> list[float]:
        """Of every sample."""
        uses, _ = self._leaves()
        with torch.no_grad():
            return in_parallel(lambda s: self._distance(s, uses, self.others).item(), samples)

    def gradients(self, samples: Sequence[Feeds]) -> list[Tensor]:
        """Mean over samples, for every one of `parameters`."""
        uses, leaves = self._leaves()
        others = {v: t.detach().clone().requires_grad_() for v, t in self.others.items()}
        wanted = [*leaves, *others.values()]

        def of_sample(sample: Feeds) -> tuple[Tensor, ...]:
            loss = self._distance(sample, uses, others)
            return torch.autograd.grad(loss, wanted, materialize_grads=True)

        totals: list[Tensor] = []
        for parts in in_parallel(of_sample, samples):
            totals = [a + b for a, b in zip(totals, parts, strict=True)] if totals else [*parts]
        totals = [total / len(samples) for total in totals]
        of_weights = [
            weight.gradients(gradient)
            for weight, gradient in zip(self.weights.values(), totals, strict=False)
        ]
        return [*chain(*zip(*of_weights, strict=True)), *totals[len(leaves) :]]

    def distance_with(self, sample: Feeds, uses: Mapping[Use, Tensor]) -> float:
        """The loss of the float model with some of its weights changed."""
        with torch.no_grad():
            return self._distance(sample, uses, {}).item()

    def _distance(
        self, sample: Feeds, uses: Mapping[Use, Tensor], others: Mapping[ir.Value, Tensor]
    ) -> Tensor:
        feeds = {value: as_tensor(sample[value.name or ""]) for value in self._inputs}
        with torch.no_grad():
            teacher = self._knowledge(feeds, {})
        return distance(
            teacher, self._knowledge({**feeds, **others}, uses), self._loss, self._squares
        )

    def _mean_squares(self, samples: Sequence[Feeds]) -> list[float]:
        """Of each output of the float model; 1 where it is 0."""
        totals = [0.0] * len(self._outputs)
        for sample in samples:
            feeds = {value: as_tensor(sample[value.name or ""]) for value in self._inputs}
            with torch.no_grad():
                found = self._graph.run(feeds, self._outputs)
            for at, tensor in enumerate(found):
                totals[at] += tensor.double().square().mean().item() / len(samples)
        return [total if total > 0 else 1.0 for total in totals]

    def _knowledge(self, given: Values, uses: Mapping[Use, Tensor]) -> Knowledge:
        reads = () if self._attention is None else self._attention.reads
        tensors = self._graph.run(given, (*self._outputs, *reads), uses)
        outputs = tensors[: len(self._outputs)]
        if self._attention is None:
            return Knowledge(outputs, None, None)
        return Knowledge(outputs, *self._attention.maps(self._graph, tensors[len(self._outputs) :]))

    def _leaves(self) -> tuple[dict[Use, Tensor], list[Tensor]]:
        """The quantized weights where they are read, and as gradients are wanted of them."""
        leaves = [weight.quantized_KN().requires_grad_() for weight in self.weights.values()]
        uses = {
            (site.node, 1): leaf.T if site.transposed else leaf
            for site, leaf in zip(self.weights, leaves, strict=True)
        }
        return uses, leaves


def channel_constants(graph: ir.Graph, sites: Sequence[Site]) -> tuple[ir.Value, ...]:
    """Biases, and scales of norms, behind the first quantized weight, in the graph's order."""
    found: dict[ir.Value, None] = {}
    for node in dependent_nodes(graph, sites):
        for at in _CHANNEL_INPUTS.get(op_key(node), ()):
            value = node.inputs[at] if at < len(node.inputs) else None
            if value is None or not is_constant(value) or value.const_value is None:
                continue
            shape = value.const_value.shape.numpy()
            if value.const_value.dtype == ir.DataType.FLOAT and _is_vector(shape):
                found[value] = None
    return tuple(found)


def _is_vector(shape: Sequence[int]) -> bool:
    return len(shape) > 0 and shape[-1] > 1 and all(extent == 1 for extent in shape[:-1])
