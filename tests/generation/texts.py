"""Tokenizers small enough to read."""

import json

BYTES = {
    "version": "1.0",
    "truncation": {"direction": "Right", "max_length": 3, "strategy": "LongestFirst", "stride": 0},
    "padding": None,
    "normalizer": None,
    "pre_tokenizer": {
        "type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True,
    },
    "post_processor": None,
    "decoder": {
        "type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True,
    },
}  # fmt: skip


def byte_alphabet():
    """The characters by which byte-level tokenizers write the 256 bytes."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    letters, extra = {}, 0
    for byte in range(256):
        if byte in printable:
            letters[byte] = chr(byte)
        else:
            letters[byte] = chr(256 + extra)
            extra += 1
    return letters


def byte_tokenizer(specials=("<|endoftext|>",)):
    """A `tokenizer.json` whose token i is the byte i, and after the bytes the special tokens."""
    vocabulary = {letter: byte for byte, letter in byte_alphabet().items()}
    added = [
        {
            "id": 256 + at, "content": text, "single_word": False, "lstrip": False,
            "rstrip": False, "normalized": False, "special": True,
        }
        for at, text in enumerate(specials)
    ]  # fmt: skip
    model = {
        "type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
        "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False,
        "vocab": vocabulary, "merges": [],
    }  # fmt: skip
    return json.dumps({**BYTES, "added_tokens": added, "model": model}).encode()
