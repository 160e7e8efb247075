"""The tokenizer that travels in an artifact, and the tokens at which a text ends."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from graph_ir.errors import InputError
from runtime.folder import read_plain
from runtime.generation.tokenizer import MAX_TOKENIZER_BYTES, Tokenizer, parse_tokenizer

# What the makers of models call the end of a text, or of a turn of a conversation.
END_TOKENS = (
    "<|endoftext|>",
    "<|im_end|>",
    "</s>",
    "<eos>",
    "<|end_of_text|>",
    "<|eot_id|>",
    "<|end|>",
    "<end_of_turn>",
    "<|return|>",
)


@dataclass(frozen=True, slots=True)
class Texts:
    """How tokens are read.

    Attributes:
        tokenizer: bytes of its file; None without one.
        eos: tokens at which a text ends, rising.
    """

    tokenizer: bytes | None
    eos: tuple[int, ...]


def read_texts(path: Path | None, ends: Sequence[str], vocabulary: int) -> Texts:
    """Reads a tokenizer and finds the tokens that end a text.

    Args:
        path: a `tokenizer.json`; None for a decoder that is spoken to in tokens.
        ends: tokens as text or as numbers; the tokenizer's special ones of `END_TOKENS` where
            empty.
        vocabulary: number of tokens of the decoder.

    Raises:
        InputError: no tokenizer, one of a larger vocabulary, or an end that is no token.
    """
    if path is None:
        return Texts(None, _ends(ends, None, vocabulary))
    data = read_plain(path, MAX_TOKENIZER_BYTES)
    tokenizer = parse_tokenizer(data, str(path))
    if tokenizer.size > vocabulary:
        raise InputError(
            f"{path}: expected a tokenizer of at most the {vocabulary} tokens of the model, "
            f"got {tokenizer.size}"
        )
    return Texts(data, _ends(ends, tokenizer, vocabulary))


def _ends(ends: Sequence[str], tokenizer: Tokenizer | None, vocabulary: int) -> tuple[int, ...]:
    if not ends and tokenizer is not None:
        special = tokenizer.special()
        return tuple(sorted(special[name] for name in END_TOKENS if name in special))
    found: set[int] = set()
    for text in ends:
        token = tokenizer.token(text) if tokenizer is not None else None
        if token is None and text.isascii() and text.isdecimal() and len(text) < 10:
            token = int(text)
        if token is None or token >= vocabulary:
            raise InputError(f"--eos {text}: expected a token of the model or its number")
        found.add(token)
    return tuple(sorted(found))
