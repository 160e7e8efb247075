"""Writes small GGUF files, and computes a Llama in plain numpy as llama.cpp lays it out."""

import struct
from pathlib import Path

import numpy as np

Metadata = dict[str, int | float | str | list[str]]
Blocks = dict[str, tuple[tuple[int, ...], int, bytes]]

ALIGNMENT = 32


def text(value: str) -> bytes:
    raw = value.encode()
    return struct.pack("<Q", len(raw)) + raw


def entry(value) -> bytes:
    if isinstance(value, int):
        return struct.pack("<II", 4, value)
    if isinstance(value, float):
        return struct.pack("<If", 6, value)
    if isinstance(value, str):
        return struct.pack("<I", 8) + text(value)
    return struct.pack("<IIQ", 9, 8, len(value)) + b"".join(text(item) for item in value)


def gguf_bytes(metadata: Metadata, tensors: Blocks) -> bytes:
    """`tensors`: name -> numpy shape, type id, raw blocks."""
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(metadata))
    for key, value in metadata.items():
        head += text(key) + entry(value)
    data = b""
    for name, (shape, kind, raw) in tensors.items():
        data += b"\0" * (-len(data) % ALIGNMENT)
        head += text(name) + struct.pack("<I", len(shape))
        head += b"".join(struct.pack("<Q", extent) for extent in reversed(shape))
        head += struct.pack("<IQ", kind, len(data))
        data += raw
    return head + b"\0" * (-len(head) % ALIGNMENT) + data


LAYERS, WIDTH, FFN, HEADS, KV_HEADS, VOCABULARY = 2, 48, 40, 6, 2, 50
HEAD = WIDTH // HEADS
BASE, EPSILON = 100.0, 1e-5


def llama_weights() -> dict[str, np.ndarray]:
    random = np.random.default_rng(7)
    shapes = {"token_embd.weight": (VOCABULARY, WIDTH)}
    for index in range(LAYERS):
        shapes |= {
            f"blk.{index}.attn_norm.weight": (WIDTH,),
            f"blk.{index}.attn_q.weight": (WIDTH, WIDTH),
            f"blk.{index}.attn_k.weight": (KV_HEADS * HEAD, WIDTH),
            f"blk.{index}.attn_v.weight": (KV_HEADS * HEAD, WIDTH),
            f"blk.{index}.attn_output.weight": (WIDTH, WIDTH),
            f"blk.{index}.ffn_norm.weight": (WIDTH,),
            f"blk.{index}.ffn_gate.weight": (FFN, WIDTH),
            f"blk.{index}.ffn_up.weight": (FFN, WIDTH),
            f"blk.{index}.ffn_down.weight": (WIDTH, FFN),
        }
    shapes["output_norm.weight"] = (WIDTH,)
    return {name: random.normal(0, 0.4, s).astype(np.float32) for name, s in shapes.items()}


def write_llama(path: Path, weights: dict[str, np.ndarray]) -> None:
    metadata: Metadata = {
        "llama.block_count": LAYERS,
        "llama.embedding_length": WIDTH,
        "llama.attention.head_count": HEADS,
        "llama.attention.head_count_kv": KV_HEADS,
        "llama.vocab_size": VOCABULARY,
        "llama.rope.freq_base": BASE,
        "llama.attention.layer_norm_rms_epsilon": EPSILON,
    }
    blocks: Blocks = {n: (w.shape, 0, w.astype("<f4").tobytes()) for n, w in weights.items()}
    path.write_bytes(gguf_bytes(metadata, blocks))


def _norm(x, weight):
    return x / np.sqrt((x**2).mean(-1, keepdims=True) + EPSILON) * weight


def _rotate_neighbours(x_SH, position):
    """llama.cpp turns the pairs (0, 1), (2, 3), ... of a head."""
    out = np.empty_like(x_SH)
    for pair in range(HEAD // 2):
        angle = position * BASE ** (-2 * pair / HEAD)
        first, second = x_SH[2 * pair], x_SH[2 * pair + 1]
        out[2 * pair] = first * np.cos(angle) - second * np.sin(angle)
        out[2 * pair + 1] = second * np.cos(angle) + first * np.sin(angle)
    return out


def llama_logits(weights: dict[str, np.ndarray], ids: list[int]) -> np.ndarray:
    """Logits [S, V] by loops over positions and heads, in float64, on the file's own layout."""
    w = {name: weight.astype(np.float64) for name, weight in weights.items()}
    x = w["token_embd.weight"][ids]
    for index in range(LAYERS):
        at = f"blk.{index}"
        normed = _norm(x, w[f"{at}.attn_norm.weight"])
        q = (normed @ w[f"{at}.attn_q.weight"].T).reshape(len(ids), HEADS, HEAD)
        k = (normed @ w[f"{at}.attn_k.weight"].T).reshape(len(ids), KV_HEADS, HEAD)
        v = (normed @ w[f"{at}.attn_v.weight"].T).reshape(len(ids), KV_HEADS, HEAD)
        mixed = np.zeros((len(ids), HEADS, HEAD))
        for head in range(HEADS):
            group = head // (HEADS // KV_HEADS)
            for here in range(len(ids)):
                query = _rotate_neighbours(q[here, head], here)
                keys = [_rotate_neighbours(k[at_, group], at_) for at_ in range(here + 1)]
                scores = np.array([query @ key for key in keys]) / np.sqrt(HEAD)
                share = np.exp(scores - scores.max())
                mixed[here, head] = (share / share.sum()) @ v[: here + 1, group]
        x = x + mixed.reshape(len(ids), WIDTH) @ w[f"{at}.attn_output.weight"].T
        normed = _norm(x, w[f"{at}.ffn_norm.weight"])
        gate = normed @ w[f"{at}.ffn_gate.weight"].T
        up = normed @ w[f"{at}.ffn_up.weight"].T
        x = x + (gate / (1 + np.exp(-gate)) * up) @ w[f"{at}.ffn_down.weight"].T
    return _norm(x, w["output_norm.weight"]) @ w["token_embd.weight"].T
