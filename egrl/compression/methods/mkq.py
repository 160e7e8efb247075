"""MKQ-BERT (Tang et al., arXiv 2203.13483): quantization-aware training of an encoder.

Weights are trained through their quantizers, scales by the gradient of the quantizer's own square
error, biases and norms beside them, to be close to the float model in its last attention, in the
relations of its values and in its outputs; labels are not needed. Part of the weights may stay at
8 bits (half of the layers in the paper): those that cost most when they alone have 4.

Differences from the paper: scales are for groups of a column, activations are what the runtime
makes of them (8 bits, for each row) and not trained, the layers at 8 bits are found by measuring,
the outputs' error is part of the loss, and the best of a few iterates stays, judged on samples
that are not trained on where there are enough.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import onnx_ir as ir
import torch
from torch import Tensor

from egrl.compression.methods.adam import Adam
from egrl.compression.methods.distillation import Weights
from egrl.compression.methods.fake_quantized import SCALE_GRADIENTS
from egrl.compression.methods.student import Student
from egrl.compression.methods.torch_runs import finite, reproducible
from graph_ir.compression.grid import Grid, QuantizedWeight
from graph_ir.compression.method import Data, Feeds, ModelMethod
from graph_ir.compression.methods.rtn import Rtn
from graph_ir.compression.sites import Site
from graph_ir.errors import InputError

_CHECKS = 4
# One sample in so many judges iterates and trains nothing, where there are enough.
_JUDGING = 8
_MOST_JUDGING = 32
_MEASURED = 4


@dataclass(frozen=True, slots=True)
class Mkq(ModelMethod):
    """Options of quantization-aware training.

    Attributes:
        steps: of the optimizer.
        batch: samples of a step.
        rate: learning rate of weights, biases and norms; falls linearly to 0.
        scale_rate: learning rate of the scales' factors.
        share8: share of the weights that keep 8 bits.
        scale_gradient: `mse` (MKQ) or `lsq`.
        attention: weight of the attention's divergence in the loss.
        relation: weight of the divergence of the values' relations.
        output: weight of the outputs' relative error.
    """

    name: ClassVar[str] = "mkq"

    steps: int = 200
    batch: int = 8
    rate: float = 2e-5
    scale_rate: float = 1e-3
    share8: float = 0.0
    scale_gradient: str = "mse"
    attention: float = 1.0
    relation: float = 1.0
    output: float = 1.0

    def __post_init__(self) -> None:
        if self.scale_gradient not in SCALE_GRADIENTS:
            raise InputError(
                f"scale_gradient={self.scale_gradient}: expected one of "
                f"{', '.join(SCALE_GRADIENTS)}"
            )
        for name in ("steps", "batch"):
            if getattr(self, name) < 1:
                raise InputError(f"{name}={getattr(self, name)}: expected at least 1")
        for name in ("rate", "scale_rate", "attention", "relation", "output"):
            if getattr(self, name) < 0:
                raise InputError(f"{name}={getattr(self, name):g}: expected at least 0")
        if not 0 <= self.share8 <= 1:
            raise InputError(f"share8={self.share8:g}: expected between 0 and 1")

    def quantize(
        self, model: ir.Model, sites: Sequence[Site], grids: Mapping[str, Grid], data: Data
    ) -> dict[str, QuantizedWeight]:
        """See `ModelMethod.quantize`."""
        if not sites:
            return {}
        loss = Weights(self.attention, self.relation, self.output)
        with reproducible():
            judging = _split(data.samples)[1]
            student = Student(model, sites, grids, self.scale_gradient, loss, judging)
            if self.share8 > 0:
                grids = mixed(student, sites, grids, data.samples[:_MEASURED], self.share8)
                student = Student(model, sites, grids, self.scale_gradient, loss, judging)
            self._train(student, data)
            for value, tensor in student.others.items():
                value.const_value = ir.tensor(tensor.numpy(), name=value.name)
            return {site.name: weight.result() for site, weight in student.weights.items()}

    def _train(self, student: Student, data: Data) -> None:
        training, judging = _split(data.samples)
        rng = np.random.default_rng(data.seed)
        parameters = student.parameters()
        scales = len(student.weights)
        others = len(parameters) - 2 * scales
        rates = [self.rate] * scales + [self.scale_rate] * scales + [self.rate] * others
        optimizer = Adam(parameters)
        first = next(iter(student.weights))
        best, saved = finite(sum(student.losses(judging)), first), _copies(parameters)
        checks = {self.steps * part // _CHECKS for part in range(1, _CHECKS + 1)}
        order: list[int] = []
        size = min(self.batch, len(training))
        for step in range(self.steps):
            if len(order) < size:
                order += [int(at) for at in rng.permutation(len(training))]
            picked, order = order[:size], order[size:]
            gradients = student.gradients([training[at] for at in picked])
            optimizer.step(gradients, [rate * (1 - step / self.steps) for rate in rates])
            for weight in student.weights.values():
                weight.clamp_factors()
            if step + 1 in checks and (now := sum(student.losses(judging))) < best:
                best, saved = now, _copies(parameters)
        for parameter, kept in zip(parameters, saved, strict=True):
            parameter.copy_(kept)


def mixed(
    student: Student,
    sites: Sequence[Site],
    grids: Mapping[str, Grid],
    samples: Sequence[Feeds],
    share8: float,
) -> dict[str, Grid]:
    """The grids, those of the most sensitive weights with 8 bits.

    Args:
        student: of the same model.
        sites: of the model.
        grids: by name of the site.
        samples: to measure on.
        share8: share of the weights' entries that may have 8 bits.
    """
    costs: list[tuple[float, int]] = []
    for at, site in enumerate(sites):
        weight_KN = torch.from_numpy(
            Rtn().quantize(site.weight_KN(), grids[site.name]).dequantized()
        )
        uses = {(site.node, 1): weight_KN.T if site.transposed else weight_KN}
        cost = sum(student.distance_with(sample, uses) for sample in samples)
        costs.append((-cost / (site.inner * site.columns), at))
    budget = share8 * sum(site.inner * site.columns for site in sites)
    chosen = dict(grids)
    for _, at in sorted(costs):
        size = sites[at].inner * sites[at].columns
        if size <= budget:
            budget -= size
            chosen[sites[at].name] = replace(grids[sites[at].name], bits=8)
    return chosen


def _split(samples: Sequence[Feeds]) -> tuple[list[Feeds], list[Feeds]]:
    """Samples to train on and samples to judge on; the same ones where there are few."""
    if len(samples) < 2 * _JUDGING:
        return [*samples], [*samples]
    judging = [*samples[::_JUDGING]]
    training = [sample for at, sample in enumerate(samples) if at % _JUDGING]
    return training, judging[:_MOST_JUDGING]


def _copies(tensors: Sequence[Tensor]) -> list[Tensor]:
    return [tensor.clone() for tensor in tensors]
