"""Adam (Kingma & Ba, arXiv 1412.6980, algorithm 1), the rate given at each step.

torch's own loads its compiler when it is first used, which takes longer than a small training.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

_DECAY, _SQUARE_DECAY, _TINY = 0.9, 0.999, 1e-8


class Adam:
    """Moments of some parameters' gradients."""

    def __init__(self, parameters: Sequence[Tensor]) -> None:
        """Args: tensors, which `step` changes in place."""
        self._parameters = parameters
        self._means = [torch.zeros_like(parameter) for parameter in parameters]
        self._squares = [torch.zeros_like(parameter) for parameter in parameters]
        self._steps = 0

    def step(self, gradients: Sequence[Tensor], rates: Sequence[float]) -> None:
        """Moves every parameter; a gradient and a rate for each."""
        self._steps += 1
        mean_share = 1 - _DECAY**self._steps
        square_share = 1 - _SQUARE_DECAY**self._steps
        for parameter, gradient, mean, square, rate in zip(
            self._parameters, gradients, self._means, self._squares, rates, strict=True
        ):
            mean.lerp_(gradient, 1 - _DECAY)
            square.mul_(_SQUARE_DECAY).addcmul_(gradient, gradient, value=1 - _SQUARE_DECAY)
            spread = (square / square_share).sqrt_().add_(_TINY)
            parameter.addcdiv_(mean, spread, value=-rate / mean_share)
