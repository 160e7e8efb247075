"""The precision head: from what the agent sees of every choice to keys for the decoder.

The shipped policy gives every tensor a priority and a preference for every home; this head gives
every product a factor of the price of every precision, and the model two numbers of what waiting
and bytes are worth. What it says is decoded by a knapsack (`decoder.py`), so that any answer keeps
to the bounds. With weights of zero in its last layers it is the middle of what the untrained rule
draws. It runs without torch; `head_network.py` is the same module for training.

Axes: S products, P precisions, D width of the graph network, W width of the head, F features.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from egrl.agents.egrl.checkpoint import SHIPPED as POLICY
from egrl.compression.joint.head_view import FEATURES, HeadView
from egrl.compression.joint.keys import Keys
from graph_ir.errors import InputError

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
Weights = Mapping[str, F32]

FORMAT = "egrl precision head 1"
MOST_BYTES = 16 << 20

SHIPPED = POLICY.with_name("precision.safetensors")
"""The head that the package ships, beside its policy."""

LARGEST = 2.0
"""Of the logarithm of a factor."""

PRICE_NOISE = 0.2
WORTH_NOISE = 1.5


class Provenance(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a head comes from.

    Attributes:
        run: what was run, as a command.
        seed: of the run.
        steps: gradient steps taken.
        exercises: generated problems that it was trained on.
        tool_version: of egrl.
        features: of a choice; see `head_view.FEATURES`.
        width: of the graph network that it reads.
    """

    run: str
    seed: int
    steps: int
    exercises: int
    tool_version: str
    features: int
    width: int


@dataclass(frozen=True, slots=True)
class Head:
    """Weights by name, and where they come from."""

    weights: dict[str, F32]
    provenance: Provenance


@dataclass(frozen=True, slots=True)
class Genes:
    """Keys before they are squashed; what is sampled, bred and learned.

    Attributes:
        worth_2: logits of how late streams are and of what bytes are worth.
        price_SP: logarithms of factors.
    """

    worth_2: F64
    price_SP: F64

    def keys(self) -> Keys:
        """For the decoder."""
        late, value = 1.0 / (1.0 + np.exp(-self.worth_2))
        products = len(self.price_SP)
        price_SP = np.exp(np.clip(self.price_SP, -LARGEST, LARGEST))
        return Keys(np.full(products, late), np.full(products, value), price_SP)


def propose(weights: Weights, view: HeadView) -> Genes:
    """What the head proposes, without noise."""
    products, precisions, _ = view.choice_SPF.shape
    width = (products, precisions, view.product_SD.shape[1])
    product_SPD = np.broadcast_to(view.product_SD[:, np.newaxis], width)
    seen_SPW = _mlp(weights, "choice", np.concatenate([product_SPD, view.choice_SPF], axis=2))
    product_SW = seen_SPW.mean(axis=1)
    model_W = product_SW.mean(axis=0)
    wide = seen_SPW.shape
    joined = np.concatenate(
        [
            seen_SPW,
            np.broadcast_to(product_SW[:, np.newaxis], wide),
            np.broadcast_to(model_W, wide),
        ],
        axis=2,
    )
    price_SP = _mlp(weights, "price", joined)[:, :, 0]
    worth_2 = _mlp(weights, "worth", model_W[np.newaxis])[0]
    return Genes(worth_2.astype(np.float64), price_SP.astype(np.float64))


def noisy(genes: Genes, rng: np.random.Generator, scale: float = 1.0) -> Genes:
    """A sample around genes."""
    worth_2 = genes.worth_2 + scale * WORTH_NOISE * rng.standard_normal(2)
    noise_SP = rng.standard_normal(genes.price_SP.shape)
    return Genes(worth_2, genes.price_SP + scale * PRICE_NOISE * noise_SP)


def _mlp(weights: Weights, name: str, value: F32) -> F32:
    hidden = value @ weights[f"{name}.0.weight"].T + weights[f"{name}.0.bias"]
    gate = np.float32(1.0) / (np.float32(1.0) + np.exp(-hidden))
    found: F32 = (hidden * gate) @ weights[f"{name}.2.weight"].T + weights[f"{name}.2.bias"]
    return found


def save_head(path: Path, head: Head) -> None:
    """Write a head; an older file is replaced in one step."""
    partial = path.with_name(path.name + ".partial")
    provenance = msgspec.json.encode(head.provenance).decode()
    ordered = {name: head.weights[name] for name in sorted(head.weights)}
    # One entry: the order of several is not the same from one writing to the next.
    save_file(ordered, partial, {FORMAT: provenance})
    partial.replace(path)


def load_head(path: Path = SHIPPED) -> Head:
    """Read a head.

    Raises:
        InputError: the file is missing, not a head, damaged, or made for other features.
    """
    where = f"precision head {path}"
    if not path.is_file():
        raise InputError(f"{where}: expected a file, found none")
    if path.stat().st_size > MOST_BYTES:
        raise InputError(f"{where}: expected at most {MOST_BYTES} bytes")
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            weights = {name: file.get_tensor(name) for name in sorted(file.keys())}
    except (SafetensorError, OSError, ValueError) as error:
        raise InputError(f"{where}: not readable: {' '.join(str(error).split())}") from error
    if FORMAT not in metadata:
        raise InputError(f"{where}: expected format {FORMAT!r}")
    try:
        provenance = msgspec.json.decode(metadata[FORMAT], type=Provenance)
    except (msgspec.ValidationError, msgspec.DecodeError) as error:
        raise InputError(f"{where}: provenance: {error}") from error
    if provenance.features != FEATURES:
        raise InputError(f"{where}: made for {provenance.features} features, expected {FEATURES}")
    if not all(each.dtype == np.float32 and np.isfinite(each).all() for each in weights.values()):
        raise InputError(f"{where}: expected finite weights of float32")
    return Head(weights, provenance)
