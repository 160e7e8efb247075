"""A policy as a file: safetensors whose header names the run that made it. Nothing is pickled."""

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from egrl.agents.egrl.features import (
    FAMILY_FEATURES,
    OP_FEATURES,
    PAIR_FEATURES,
    TENSOR_FEATURES,
)
from egrl.agents.egrl.machine import CORE_FEATURES, HOME_FEATURES, RELATIONS
from graph_ir.errors import InputError

FORMAT = "egrl policy 1"
MOST_BYTES = 64 << 20

SHIPPED = Path(__file__).parent / "policy.safetensors"
"""The policy that the package ships."""

FEATURES = {
    "tensor": TENSOR_FEATURES,
    "op": OP_FEATURES,
    "pair": PAIR_FEATURES,
    "family": FAMILY_FEATURES,
    "home": HOME_FEATURES,
    "core": CORE_FEATURES,
    "relations": len(RELATIONS),
}
"""What a network was trained to see; another version of the features is another architecture."""


class Provenance(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a policy comes from.

    Attributes:
        run: what was run, as a command.
        seed: of the run.
        steps: gradient steps taken.
        problems: that it was trained on.
        without: families of models and of accelerators that it never saw.
        tool_version: of egrl.
        features: numbers of features; see `FEATURES`.
        edges: see `network.NetworkConfig`.
    """

    run: str
    seed: int
    steps: int
    problems: int
    without: list[str]
    tool_version: str
    features: dict[str, int]
    edges: str = "all"


@dataclass(frozen=True, slots=True)
class Policy:
    """Weights by name, and where they come from."""

    weights: dict[str, NDArray[np.float32]]
    provenance: Provenance


def save_policy(path: Path, policy: Policy) -> None:
    """Write a policy; an older file is replaced in one step."""
    partial = path.with_name(path.name + ".partial")
    metadata = {
        "format": FORMAT,
        "provenance": msgspec.json.encode(policy.provenance).decode(),
    }
    ordered = {name: policy.weights[name] for name in sorted(policy.weights)}
    save_file(ordered, partial, metadata)
    partial.replace(path)


@lru_cache(maxsize=8)
def cached_policy(path: Path) -> Policy:
    """`load_policy`, once per process."""
    return load_policy(path)


def load_policy(path: Path = SHIPPED) -> Policy:
    """Read a policy.

    Raises:
        InputError: the file is missing, not a policy, damaged, or made for other features.
    """
    if not path.is_file():
        raise InputError(f"policy {path}: expected a file, found none")
    if path.stat().st_size > MOST_BYTES:
        raise InputError(f"policy {path}: expected at most {MOST_BYTES} bytes")
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            weights = {name: file.get_tensor(name) for name in sorted(file.keys())}
    except (SafetensorError, OSError, ValueError) as error:
        raise InputError(f"policy {path}: not readable: {' '.join(str(error).split())}") from error
    if metadata.get("format") != FORMAT:
        raise InputError(f"policy {path}: expected format {FORMAT!r}")
    try:
        provenance = msgspec.json.decode(metadata.get("provenance", ""), type=Provenance)
    except (msgspec.ValidationError, msgspec.DecodeError, json.JSONDecodeError) as error:
        raise InputError(f"policy {path}: provenance: {error}") from error
    if provenance.features != FEATURES:
        raise InputError(
            f"policy {path}: made for features {provenance.features}, expected {FEATURES}"
        )
    wrong = [name for name, value in weights.items() if value.dtype != np.float32]
    if wrong:
        raise InputError(f"policy {path}: {wrong[0]}: expected float32")
    if not all(np.isfinite(value).all() for value in weights.values()):
        raise InputError(f"policy {path}: expected finite weights")
    return Policy(weights, provenance)
