"""The tokenizer of an artifact, and text that grows token by token."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from graph_ir.errors import InputError
from graph_ir.text import reason_of
from runtime.folder import read_plain

if TYPE_CHECKING:
    import tokenizers

MAX_TOKENIZER_BYTES = 64 << 20
MAX_PROMPT_CHARACTERS = 64 << 20

# Twice the tokens that a character has at most, one for each byte.
_WINDOW = 8
# What the beginning of a character decodes to.
_INCOMPLETE = "\N{REPLACEMENT CHARACTER}"


class Tokenizer:
    """Text to tokens and back."""

    def __init__(self, inner: "tokenizers.Tokenizer") -> None:
        self._inner = inner

    @property
    def size(self) -> int:
        """Number of tokens, added ones included."""
        return int(self._inner.get_vocab_size())

    def encode(self, text: str, begins: bool = True) -> list[int]:
        """Tokens of a text.

        Args:
            text: special tokens in it are recognised.
            begins: whether it begins a sequence; then comes what the tokenizer puts first.

        Raises:
            InputError: the text is too long.
        """
        if len(text) > MAX_PROMPT_CHARACTERS:
            raise InputError(
                f"prompt: expected at most {MAX_PROMPT_CHARACTERS} characters, got {len(text)}"
            )
        return list(self._inner.encode(text, add_special_tokens=begins).ids)

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of tokens, without special ones."""
        return str(self._inner.decode(list(tokens), skip_special_tokens=True))

    def token(self, text: str) -> int | None:
        """Index of a token by its text; None where there is none."""
        found = self._inner.token_to_id(text)
        return None if found is None else int(found)

    def special(self) -> dict[str, int]:
        """The special tokens by their text, in the order of their indices."""
        added = self._inner.get_added_tokens_decoder()
        return {added[at].content: int(at) for at in sorted(added) if added[at].special}


def read_tokenizer(path: Path) -> Tokenizer:
    """The tokenizer in a file, as the library `tokenizers` writes it.

    Raises:
        InputError: it cannot be read, is too large, or is no tokenizer.
    """
    return parse_tokenizer(read_plain(path, MAX_TOKENIZER_BYTES), str(path))


def parse_tokenizer(data: bytes, where: str) -> Tokenizer:
    """The tokenizer in the bytes of a file.

    Raises:
        InputError: they are no tokenizer.
    """
    import tokenizers

    try:
        inner = tokenizers.Tokenizer.from_str(data.decode())
        inner.no_truncation()
        inner.no_padding()
    except (KeyboardInterrupt, SystemExit, MemoryError):
        raise
    except BaseException as error:  # a panic of its Rust code is no Exception
        raise InputError(f"{where}: not a tokenizer: {reason_of(error)}") from error
    return Tokenizer(inner)


class TextStream:
    """Text as its tokens arrive, whole characters only.

    A token may end within a character, or change how the one before it reads; so the text of a
    few tokens before is decoded with every new one, and what is beyond it is new.

    Args:
        tokenizer: of the tokens.
        before: tokens of the sequence so far, whose text is not given again.
    """

    def __init__(self, tokenizer: Tokenizer, before: Sequence[int] = ()) -> None:
        self._tokenizer = tokenizer
        self._window = list(before[-_WINDOW:])
        self._given = tokenizer.decode(self._window).rstrip(_INCOMPLETE)

    def push(self, token: int) -> str:
        """What can be shown now."""
        self._window.append(token)
        text = self._tokenizer.decode(self._window)
        whole = text.rstrip(_INCOMPLETE)
        new = whole[len(self._given) :]
        self._given += new
        if whole == text:
            self._window = self._window[-_WINDOW:]
            self._given = self._tokenizer.decode(self._window)
        return new

    def rest(self) -> str:
        """What is left at the end: the beginning of a character that never came."""
        return self._tokenizer.decode(self._window)[len(self._given) :]


def check_tokens(tokens: Sequence[int], vocabulary: int) -> None:
    """Refuse what the decoder has no embedding for.

    Raises:
        InputError: naming the first such token.
    """
    for token in tokens:
        if not 0 <= token < vocabulary:
            raise InputError(f"token {token}: expected 0 to {vocabulary - 1}")
