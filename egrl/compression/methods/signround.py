"""SignRound (Cheng et al., arXiv 2309.05516): rounding learned by signed gradients, block by block.

Each weight has an offset V in [-1/2, 1/2] before its rounding and factors of its groups' ranges.
For every block of the model, in order, they are moved by the sign of the gradient, the rate
falling linearly to 0, so that the block's outputs, computed from what the quantized blocks before
it give, come close to what the float model's block gives (mean square error). The best iterate
over all samples stays, the start (round to nearest) being one of them.

Differences from the authors' code: the error of each output value is divided by its mean square,
the best iterate is chosen on all samples and not on a batch, and factors may exceed 1 a little.
Widths of 8 bits are rounded to nearest.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import onnx_ir as ir
import torch
from torch import Tensor

from egrl.compression.methods.blocks import Block, find_blocks
from egrl.compression.methods.rounding import LearnedRounding, State
from egrl.compression.methods.torch_runs import finite, in_parallel, reproducible
from egrl.differentiable.graph import TorchGraph, Use
from egrl.differentiable.types import as_tensor
from graph_ir.compression.grid import Grid, QuantizedWeight
from graph_ir.compression.method import Data, Feeds, ModelMethod
from graph_ir.compression.methods.rtn import Rtn
from graph_ir.compression.sites import Site
from graph_ir.errors import InputError

Values = dict[ir.Value, Tensor]
_LEARNED_BITS = 4
_CHECKS = 4


@dataclass(frozen=True, slots=True)
class SignRound(ModelMethod):
    """Options of SignRound.

    Attributes:
        iters: steps for each block.
        batch: samples of a step.
        rate: of the first step; 1 / iters where 0.
    """

    name: ClassVar[str] = "signround"

    iters: int = 100
    batch: int = 4
    rate: float = 0.0

    def __post_init__(self) -> None:
        if self.iters < 1 or self.batch < 1 or self.rate < 0:
            raise InputError(
                f"iters={self.iters}, batch={self.batch}, rate={self.rate:g}: expected at least 1, "
                "at least 1 and at least 0"
            )

    def quantize(
        self, model: ir.Model, sites: Sequence[Site], grids: Mapping[str, Grid], data: Data
    ) -> dict[str, QuantizedWeight]:
        """See `ModelMethod.quantize`."""
        with reproducible():
            graph = TorchGraph(model.graph)
            rng = np.random.default_rng(data.seed)
            feeds = [_tensors(model.graph, sample) for sample in data.samples]
            exact: list[Values] = [{} for _ in feeds]
            rough: list[Values] = [{} for _ in feeds]
            result: dict[str, QuantizedWeight] = {}
            blocks = find_blocks(model.graph, sites)
            for at, block in enumerate(blocks):
                learner = _BlockLearner(graph, block, grids, feeds, exact, rough)
                result.update(learner.learn(self, rng))
                read = {value for later in blocks[at + 1 :] for value in later.inputs}
                exact = _merged(exact, learner.wanted(), read)
                rough = _merged(rough, learner.outputs(), read)
            return result


class _BlockLearner:
    """One block: the weights being learned, and its inputs and wanted outputs of every sample."""

    def __init__(
        self,
        graph: TorchGraph,
        block: Block,
        grids: Mapping[str, Grid],
        feeds: Sequence[Values],
        exact: Sequence[Values],
        rough: Sequence[Values],
    ) -> None:
        """Args: values before the block, of the float model and of the quantized one."""
        self._graph, self._block = graph, block
        self._learned: dict[Site, LearnedRounding] = {}
        self._fixed: dict[str, QuantizedWeight] = {}
        for site in block.sites:
            weight_KN, grid = site.weight_KN(), grids[site.name]
            if grid.bits <= _LEARNED_BITS:
                self._learned[site] = LearnedRounding(weight_KN, grid)
            else:
                self._fixed[site.name] = Rtn().quantize(weight_KN, grid)
        self._exact: list[Values] = []
        self._rough: list[Values] = []
        with torch.no_grad():
            for fed, before, quantized in zip(feeds, exact, rough, strict=True):
                sides = dict(zip(block.sides, graph.run(fed, block.sides), strict=True))
                self._exact.append({value: before[value] for value in block.inputs} | sides)
                self._rough.append({value: quantized[value] for value in block.inputs} | sides)
        self._wanted = in_parallel(self._float_outputs, self._exact)
        self._weights = [self._output_weight(at) for at in range(len(block.outputs))]

    def learn(self, options: SignRound, rng: np.random.Generator) -> dict[str, QuantizedWeight]:
        """Moves the roundings; returns the best ones."""
        count = len(self._rough)
        best = finite(self.loss(), self._block.sites[0])
        states = self._states()
        batch = min(options.batch, count)
        order: list[int] = []
        checks = {options.iters * part // _CHECKS for part in range(1, _CHECKS + 1)}
        for iteration in range(options.iters if self._learned else 0):
            if len(order) < batch:
                order += [int(at) for at in rng.permutation(count)]
            picked, order = order[:batch], order[batch:]
            rate = (options.rate or 1 / options.iters) * (1 - iteration / options.iters)
            self._step(picked, rate)
            if iteration + 1 in checks and (now := self.loss()) < best:
                best, states = now, self._states()
        for rounding, state in zip(self._learned.values(), states, strict=True):
            rounding.restore(state)
        found = {site.name: rounding.quantized() for site, rounding in self._learned.items()}
        return {**self._fixed, **found}

    def loss(self) -> float:
        """Mean over all samples."""
        uses = self._uses()[0]
        with torch.no_grad():
            losses = in_parallel(lambda at: self._loss(at, uses).item(), range(len(self._rough)))
        return sum(losses) / len(losses)

    def wanted(self) -> list[Values]:
        """What the float model's block gives for each sample."""
        return [dict(zip(self._block.outputs, found, strict=True)) for found in self._wanted]

    def outputs(self) -> list[Values]:
        """What the quantized block gives for each sample."""
        uses, outputs = self._uses()[0], self._block.outputs

        def quantized(given: Values) -> Values:
            with torch.no_grad():
                return dict(zip(outputs, self._graph.run(given, outputs, uses), strict=True))

        return in_parallel(quantized, self._rough)

    def _output_weight(self, at: int) -> float:
        square = sum(wanted[at].double().square().mean().item() for wanted in self._wanted)
        return len(self._wanted) / square if square > 0 else 1.0

    def _float_outputs(self, given: Values) -> list[Tensor]:
        with torch.no_grad():
            return self._graph.run(given, self._block.outputs)

    def _step(self, picked: Sequence[int], rate: float) -> None:
        uses, leaves = self._uses()

        def gradients(at: int) -> tuple[Tensor, ...]:
            return torch.autograd.grad(self._loss(at, uses), leaves, materialize_grads=True)

        of_samples = in_parallel(gradients, picked)
        for at, rounding in enumerate(self._learned.values()):
            total = of_samples[0][at]
            for parts in of_samples[1:]:
                total = total + parts[at]
            rounding.step(total, rate)

    def _uses(self) -> tuple[dict[Use, Tensor], list[Tensor]]:
        """The quantized weights in their places, and those that a gradient is wanted of."""
        uses: dict[Use, Tensor] = {}
        leaves = []
        for site in self._block.sites:
            if site in self._learned:
                weight_KN = self._learned[site].weight_KN().requires_grad_()
                leaves.append(weight_KN)
            else:
                weight_KN = torch.from_numpy(self._fixed[site.name].dequantized())
            uses[(site.node, 1)] = weight_KN.T if site.transposed else weight_KN
        return uses, leaves

    def _loss(self, at: int, uses: Mapping[Use, Tensor]) -> Tensor:
        got = self._graph.run(self._rough[at], self._block.outputs, uses)
        parts = [
            (tensor - wanted).square().mean() * weight
            for tensor, wanted, weight in zip(got, self._wanted[at], self._weights, strict=True)
        ]
        return torch.stack(parts).sum()

    def _states(self) -> list[State]:
        return [rounding.state() for rounding in self._learned.values()]


def _merged(before: Sequence[Values], after: Sequence[Values], read: set[ir.Value]) -> list[Values]:
    """Values of each sample, without those that nothing reads any more."""
    return [
        {value: tensor for value, tensor in {**old, **new}.items() if value in read}
        for old, new in zip(before, after, strict=True)
    ]


def _tensors(graph: ir.Graph, sample: Feeds) -> Values:
    return {value: as_tensor(sample[value.name or ""]) for value in graph.inputs}
