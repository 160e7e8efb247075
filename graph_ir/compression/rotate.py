"""Rotation of the residual stream: the same function with weights that are easier to quantize.

Every constant that writes to the stream is multiplied by an orthogonal Q on its output side, every
one that reads it by Q^T on its input side, after the norms' scales and biases have been folded
into the readers. Outlying channels are spread over all of them. (QuaRot, arXiv 2404.00456,
section 4, stage 1a; the norm folding is SliceGPT's, arXiv 2401.15024, section 3.) Where a mean is
subtracted, Q is chosen to leave means alone instead of rewriting LayerNorm.

A table that is both embedding and head becomes two, for the head takes the last norm's scale.

Measured on SmolLM2-135M with rtn in groups of 32 (perplexity over four windows of 256 tokens,
float 17.47): its shipped weights, which lie on a 4-bit grid, give 22.9 as they are; with the stream
rotated by a random orthogonal matrix 30.1, and 29.1 with a Hadamard rotation on top of that. It is
for models with outlying channels, whose groups a rotation evens out.
"""

from dataclasses import dataclass
from typing import ClassVar

import onnx_ir as ir

from graph_ir.compression.method import Data, Preparation
from graph_ir.compression.residual_stream import find_residual_stream
from graph_ir.compression.rotate_fold import fold_rotation
from graph_ir.compression.rotate_matrix import make_rotation
from graph_ir.passes.base import PassResult


@dataclass(frozen=True, slots=True)
class Rotate(Preparation):
    """Rotates the residual stream.

    Attributes:
        rotation: `hadamard` (random signs, then a Hadamard matrix) or `orthogonal`.
        rotation_seed: of what is drawn.
    """

    name: ClassVar[str] = "rotate"
    rotation: str = "hadamard"
    rotation_seed: int = 0

    def prepare(self, model: ir.Model, data: Data) -> PassResult:
        """See `Preparation.prepare`."""
        return rotate_model(model, self.rotation_seed, self.rotation)


def rotate_model(model: ir.Model, seed: int = 0, rotation: str = "hadamard") -> PassResult:
    """Rotates a model's residual stream in place; its outputs stay, up to rounding.

    Args:
        model: as `load_model` returns it, any opset.
        seed: of the rotation.
        rotation: a key of `ROTATIONS`.

    Raises:
        InputError: no residual stream, or a node that a rotation does not pass; it is named and
            the model is left as it was.
    """
    stream = find_residual_stream(model.graph)
    drawn = make_rotation(stream.width, seed, rotation, keeps_ones=stream.keeps_ones)
    changes = fold_rotation(model.graph, stream, drawn)
    return PassResult(
        changes,
        f"residual stream of {stream.width} channels rotated ({rotation}, seed {seed}): "
        f"{stream.norms} norms, {len(stream.turns)} constants",
    )
