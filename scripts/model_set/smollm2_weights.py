"""The weights of SmolLM2-135M as float32 in one data file that prefill and decode share."""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from model_set.cache import Cache
from model_set.gguf_file import GgufFile
from model_set.sources import SMOLLM2

LOCATION = "smollm2.weights"
PAGE_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Dimensions:
    """Sizes of a decoder of the Llama family."""

    layers: int
    width: int
    query_heads: int
    kv_heads: int
    head_width: int
    vocabulary: int
    rope_base: float
    epsilon: float


@dataclass(frozen=True, slots=True)
class Slot:
    """Where one weight lies in the data file."""

    shape: tuple[int, ...]
    offset: int


def open_source(cache: Cache) -> GgufFile:
    """The published file."""
    (member,) = SMOLLM2.members
    return GgufFile(cache.fetch(SMOLLM2) / member)


def dimensions(file: GgufFile) -> Dimensions:
    """Reads the sizes from the metadata."""
    width = file.integer("llama.embedding_length")
    query_heads = file.integer("llama.attention.head_count")
    return Dimensions(
        layers=file.integer("llama.block_count"),
        width=width,
        query_heads=query_heads,
        kv_heads=file.integer("llama.attention.head_count_kv"),
        head_width=width // query_heads,
        vocabulary=file.integer("llama.vocab_size"),
        rope_base=file.number("llama.rope.freq_base"),
        epsilon=file.number("llama.attention.layer_norm_rms_epsilon"),
    )


def half_rotation_order(weight: np.ndarray, heads: int) -> np.ndarray:
    """Undoes the row order of llama.cpp, which rotates neighbours, not halves, of a head."""
    rows, columns = weight.shape
    pairs = weight.reshape(heads, rows // heads // 2, 2, columns)
    return pairs.swapaxes(1, 2).reshape(rows, columns)


def read_weight(file: GgufFile, name: str, sizes: Dimensions) -> np.ndarray:
    """One weight as the graph wants it: matrices as [in, out], the embedding as it is."""
    weight = file.read(name)
    if name.endswith("attn_q.weight"):
        weight = half_rotation_order(weight, sizes.query_heads)
    elif name.endswith("attn_k.weight"):
        weight = half_rotation_order(weight, sizes.kv_heads)
    is_linear = weight.ndim == 2 and name != "token_embd.weight"
    return np.ascontiguousarray(weight.T if is_linear else weight, "<f4")


def layout(file: GgufFile) -> dict[str, Slot]:
    """Slots of all weights in the order of the source, each at the start of a page."""
    slots: dict[str, Slot] = {}
    offset = 0
    for name, tensor in file.tensors.items():
        is_linear = len(tensor.shape) == 2 and name != "token_embd.weight"
        shape = tensor.shape[::-1] if is_linear else tensor.shape
        slots[name] = Slot(shape, offset)
        size = 4 * math.prod(shape)
        offset += -(-size // PAGE_BYTES) * PAGE_BYTES
    return slots


def write_weights(cache: Cache, file: GgufFile, slots: dict[str, Slot]) -> Path:
    """Writes the data file unless it is there already, and returns its path."""
    target = cache.root / LOCATION
    last = max(slots.values(), key=lambda slot: slot.offset)
    total_bytes = last.offset + 4 * math.prod(last.shape)
    if target.exists() and target.stat().st_size == total_bytes:
        return target
    sizes = dimensions(file)
    with cache.writing(target) as path, path.open("wb") as stream:
        for name, slot in slots.items():
            stream.seek(slot.offset)
            stream.write(read_weight(file, name, sizes).data)
    return target
