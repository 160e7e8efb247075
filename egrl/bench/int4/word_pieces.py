"""The tokenizer of the sentence encoder: lower case, words and punctuation, longest pieces first.

Reads the `minilm.vocabulary.txt` that `scripts/models` writes.
"""

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from graph_ir.errors import InputError

_LONGEST_WORD = 100


@dataclass(frozen=True, slots=True)
class WordPieces:
    """A vocabulary.

    Attributes:
        vocabulary: piece to its id; pieces inside a word begin with `##`.
    """

    vocabulary: dict[str, int]

    def encode(self, text: str, length: int) -> dict[str, NDArray[np.int64]]:
        """A sentence as the encoder's inputs `[1, length]`, cut or padded.

        Args:
            text: any.
            length: positions, two of them for the marks of beginning and end.
        """
        pieces = [piece for word in _words(text) for piece in self._word(word)][: length - 2]
        ids = [self.vocabulary["[CLS]"], *pieces, self.vocabulary["[SEP]"]]
        input_ids = np.zeros((1, length), np.int64)
        input_ids[0, : len(ids)] = ids
        mask = np.zeros((1, length), np.int64)
        mask[0, : len(ids)] = 1
        return {
            "input_ids": input_ids,
            "attention_mask": mask,
            "token_type_ids": np.zeros((1, length), np.int64),
        }

    def _word(self, word: str) -> list[int]:
        unknown = [self.vocabulary["[UNK]"]]
        if len(word) > _LONGEST_WORD:
            return unknown
        found: list[int] = []
        start = 0
        while start < len(word):
            mark = "##" if start else ""
            ends = range(len(word), start, -1)
            end = next((e for e in ends if mark + word[start:e] in self.vocabulary), None)
            if end is None:
                return unknown
            found.append(self.vocabulary[mark + word[start:end]])
            start = end
        return found


def _words(text: str) -> Iterator[str]:
    plain = unicodedata.normalize("NFD", text.lower())
    word = ""
    for character in plain:
        kind = unicodedata.category(character)
        if kind == "Mn" or (kind.startswith("C") and not character.isspace()):
            continue
        if character.isspace() or _stands_alone(character, kind):
            if word:
                yield word
            word = ""
            if not character.isspace():
                yield character
        else:
            word += character
    if word:
        yield word


def _stands_alone(character: str, kind: str) -> bool:
    """Punctuation (all that is neither letter nor digit in ASCII), and Chinese characters."""
    is_ascii = character.isascii() and not character.isalnum()
    return is_ascii or kind.startswith("P") or 0x4E00 <= ord(character) <= 0x9FFF


def read_word_pieces(path: Path) -> WordPieces:
    """Reads a vocabulary.

    Raises:
        InputError: it is missing.
    """
    try:
        pieces = path.read_text("utf-8").split("\n")
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read; run scripts/models minilm-vocabulary first"
        ) from error
    return WordPieces({piece: index for index, piece in enumerate(pieces) if piece})
