"""How far a student is from its teacher: attention, relations of values, outputs.

After MiniLM (Wang et al., arXiv 2002.10957), section 3: Kullback-Leibler divergences of the
attention distributions and of the scaled products of the values among themselves, here of the last
attention of the model; beside them the error of the model's outputs.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

_TINY = 1e-9
# A key that no query gives more than this is padding.
_ATTENDED = 1e-6


@dataclass(frozen=True, slots=True)
class Knowledge:
    """What a model gives for one sample.

    Attributes:
        outputs: of the model, floating-point ones.
        probabilities: of its last attention `[..., queries, keys]`; None where it has none.
        values: of its last attention `[..., keys, depth]`.
    """

    outputs: Sequence[Tensor]
    probabilities: Tensor | None
    values: Tensor | None


@dataclass(frozen=True, slots=True)
class Weights:
    """Of the parts of the loss.

    Attributes:
        attention: of the attention's divergence.
        relation: of the divergence of the values' relations.
        output: of the outputs' mean square error over their mean square over samples.
    """

    attention: float = 1.0
    relation: float = 1.0
    output: float = 1.0


def distance(
    teacher: Knowledge, student: Knowledge, weights: Weights, squares: Sequence[float]
) -> Tensor:
    """The loss of one sample.

    Args:
        teacher: the float model.
        student: the quantized one.
        weights: of the loss's parts.
        squares: mean square of each output over many samples (that of one sample would let those
            with logits near 0 count most).
    """
    total = torch.zeros(())
    for wanted, got, square in zip(teacher.outputs, student.outputs, squares, strict=True):
        total = total + weights.output / square * (got - wanted).square().mean()
    if teacher.probabilities is None or student.probabilities is None:
        return total
    real = _attended(teacher.probabilities)
    total = total + weights.attention * _divergence(
        teacher.probabilities, student.probabilities, _as_rows(teacher.probabilities, real)
    )
    if teacher.values is None or student.values is None:
        return total
    wanted, got = _relation(teacher.values, real), _relation(student.values, real)
    return total + weights.relation * _divergence(wanted, got, _as_rows(wanted, real))


def _attended(probabilities: Tensor) -> Tensor:
    """Which keys are real: those that some query of some head looks at, `[keys]`."""
    return probabilities.flatten(0, -2).amax(0) > _ATTENDED


def _as_rows(probabilities: Tensor, real: Tensor) -> Tensor:
    """Which queries count, `[queries]`: the real keys' where they are the same positions."""
    queries, keys = probabilities.shape[-2:]
    return real if queries == keys else real.new_ones(queries)


def _divergence(wanted: Tensor, got: Tensor, rows: Tensor) -> Tensor:
    """KL(wanted || got) over the last axis, mean over heads and the rows that count."""
    ratio = torch.log(wanted.clamp_min(_TINY)) - torch.log(got.clamp_min(_TINY))
    by_row = (wanted * ratio).sum(-1)
    counted = rows.to(by_row.dtype)
    return (by_row * counted).mean() * (counted.numel() / counted.sum().clamp_min(1.0))


def _relation(values: Tensor, real: Tensor) -> Tensor:
    """Softmax of the scaled products of the values of real positions."""
    scores = values @ values.transpose(-1, -2) * values.shape[-1] ** -0.5
    return torch.softmax(scores.masked_fill(~real, -torch.inf), -1)
