"""The tokenizer of SmolLM2, from the same file as the weights, as a `tokenizer.json`.

A byte-level BPE that splits digits one by one before anything else, which some readers of GGUF
files leave out.
"""

import json

from model_set.cache import Cache
from model_set.smollm2_weights import open_source

_CONTROL = 3  # token type of llama.cpp: a special token that text never yields


def build(cache: Cache, name: str) -> None:
    """Writes `smollm2.tokenizer.json`."""
    file = open_source(cache)
    tokens = file.strings("tokenizer.ggml.tokens")
    kinds = file.strings("tokenizer.ggml.token_type")
    special = [
        {
            "id": index,
            "content": token,
            "single_word": False,
            "lstrip": False,
            "rstrip": False,
            "normalized": False,
            "special": True,
        }
        for index, (token, kind) in enumerate(zip(tokens, kinds, strict=True))
        if int(kind) == _CONTROL
    ]
    byte_level = {
        "type": "ByteLevel",
        "add_prefix_space": False,
        "trim_offsets": True,
        "use_regex": True,
    }
    tokenizer = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": special,
        "normalizer": None,
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [{"type": "Digits", "individual_digits": True}, byte_level],
        },
        "post_processor": None,
        "decoder": byte_level,
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "vocab": {token: index for index, token in enumerate(tokens)},
            "merges": file.strings("tokenizer.ggml.merges"),
        },
    }
    with cache.writing(cache.root / "smollm2.tokenizer.json") as path:
        path.write_text(json.dumps(tokenizer, ensure_ascii=False), encoding="utf-8")
