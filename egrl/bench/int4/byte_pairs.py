"""The tokenizer of the language model: byte-level byte-pair encoding, digits one by one.

Reads the `smollm2.tokenizer.json` that `scripts/models` writes. It is here so that a benchmark
needs no tokenizer package.
"""

import functools
import itertools
import json
import re
import sys
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from graph_ir.errors import InputError

# The words of GPT-2; after the split at digits a word character other than `_` is a letter.
_WORDS = re.compile(r"'(?:[stmd]|re|ve|ll)| ?[^\W_]+| ?(?:[^\s\w]|_)+|\s+(?!\S)|\s+")


@functools.cache
def _digits() -> re.Pattern[str]:
    """Any single character of a numeric category."""
    every = map(chr, range(sys.maxunicode + 1))
    numeric = "".join(c for c in every if unicodedata.category(c).startswith("N"))
    return re.compile(f"([{re.escape(numeric)}])")


@functools.cache
def _byte_characters() -> tuple[str, ...]:
    """The printable character that stands for each byte (the table of GPT-2)."""
    plain = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    table, spare = [], 256
    for byte in range(256):
        table.append(chr(byte) if byte in plain else chr(spare))
        spare += byte not in plain
    return tuple(table)


@dataclass(frozen=True, slots=True)
class BytePairs:
    """A vocabulary with its merges.

    Attributes:
        vocabulary: token to its id.
        ranks: pair of tokens to its place among the merges; the lowest is merged first.
    """

    vocabulary: dict[str, int]
    ranks: dict[tuple[str, str], int]
    _known: dict[str, tuple[int, ...]] = field(default_factory=dict)

    def encode(self, text: str, limit: int | None = None) -> list[int]:
        """Ids of a text, without special tokens; at least `limit` of a longer one, then it stops.

        Args:
            text: any.
            limit: how many ids are wanted; all where None.
        """
        ids: list[int] = []
        for word in _words(text):
            if limit is not None and len(ids) >= limit:
                break
            if word not in self._known:
                self._known[word] = self._word(word)
            ids += self._known[word]
        return ids

    def _word(self, word: str) -> tuple[int, ...]:
        table = _byte_characters()
        parts = [table[byte] for byte in word.encode()]
        worst = len(self.ranks)
        while len(parts) > 1:
            pairs = list(itertools.pairwise(parts))
            best = min(pairs, key=lambda pair: self.ranks.get(pair, worst))
            if best not in self.ranks:
                break
            parts = _merged(parts, best)
        return tuple(self.vocabulary[part] for part in parts)


def _merged(parts: list[str], pair: tuple[str, str]) -> list[str]:
    """The parts with every occurrence of a pair joined, from the left."""
    merged: list[str] = []
    at = 0
    while at < len(parts):
        joins = tuple(parts[at : at + 2]) == pair
        merged.append("".join(pair) if joins else parts[at])
        at += 2 if joins else 1
    return merged


def _words(text: str) -> Iterator[str]:
    # A group in the pattern makes split() return the digits between the pieces.
    for piece in _digits().split(text):
        yield from _WORDS.findall(piece) if not _digits().fullmatch(piece) else (piece,)


def read_byte_pairs(path: Path) -> BytePairs:
    """Reads a `tokenizer.json`.

    Raises:
        InputError: it is missing, or none.
    """
    try:
        model = json.loads(path.read_text("utf-8"))["model"]
        merges = [
            tuple(pair.split(" ")) if isinstance(pair, str) else tuple(pair)
            for pair in model["merges"]
        ]
        ranks = {(left, right): rank for rank, (left, right) in enumerate(merges)}
        return BytePairs(dict(model["vocab"]), ranks)
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read; run scripts/models smollm2-tokenizer first"
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: expected a byte-pair tokenizer: {error!r}") from error
