"""Facts planted in a text, and questions for them after it was compressed.

Ten facts lie at ten even depths of a text; after all of it has been read, each is asked
for from the same caches. A fact is found where the model's most likely tokens are its digits, one
after the other.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from egrl.bench.int4.byte_pairs import BytePairs
from graph_ir.errors import InputError

Ids = NDArray[np.int64]

DEPTHS = 10
DIGITS = 4
PLACES = (
    "Paris", "London", "Berlin", "Madrid", "Rome", "Vienna", "Dublin", "Athens", "Cairo", "Tokyo",
    "Moscow", "Lisbon", "Oslo", "Prague", "Warsaw", "Boston", "Chicago", "Toronto", "Sydney",
    "Delhi",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked after the text.

    Attributes:
        ids: of the question and its answer.
        answer: how many of them are the answer.
    """

    ids: Ids
    answer: int


@dataclass(frozen=True, slots=True)
class Haystack:
    """A text with facts.

    Attributes:
        ids: of the text, facts included.
        questions: for the facts, by depth.
    """

    ids: Ids
    questions: tuple[Question, ...]


def haystack(text: str, tokenizer: BytePairs, length: int, seed: int) -> Haystack:
    """A text cut to a length, with facts at even depths.

    Args:
        text: sentences.
        tokenizer: of the model.
        length: tokens of text and facts, questions not included.
        seed: of places and numbers.

    Raises:
        InputError: the text is too short.
    """
    rng = np.random.default_rng(seed)
    places = [PLACES[i] for i in rng.permutation(len(PLACES))[:DEPTHS]]
    numbers = [f"{n:0{DIGITS}d}" for n in rng.integers(1000, 10**DIGITS, DEPTHS)]
    facts = [
        tokenizer.encode(f" The secret number of {place} is {number}.")
        for place, number in zip(places, numbers, strict=True)
    ]
    room = length - sum(map(len, facts))
    hay = _pieces(text, tokenizer, room)
    ids: list[int] = []
    for depth, fact in enumerate(facts):
        start, stop = (room * at // (2 * DEPTHS) for at in (2 * depth - 1, 2 * depth + 1))
        ids += hay[max(0, start) : stop] + fact
    ids += hay[room * (2 * DEPTHS - 1) // (2 * DEPTHS) :]
    questions = []
    for place, number in zip(places, numbers, strict=True):
        asked = tokenizer.encode(f"\nThe secret number of {place} is")
        whole = tokenizer.encode(f"\nThe secret number of {place} is {number}")
        questions.append(Question(np.array(whole, np.int64), len(whole) - len(asked)))
    return Haystack(np.array(ids, np.int64), tuple(questions))


def _pieces(text: str, tokenizer: BytePairs, room: int) -> list[int]:
    ids = tokenizer.encode(text, room)
    if len(ids) < room:
        raise InputError(f"facts: expected a text of {room} tokens, got {len(ids)}")
    return list(ids[:room])


def found(logits: Iterable[NDArray[np.float32]], question: Question) -> bool:
    """Whether the most likely tokens are the answer, given the question and the answer so far."""
    guesses = np.concatenate([part.argmax(axis=-1) for part in logits])
    first = len(question.ids) - question.answer
    return bool((guesses[first - 1 : -1] == question.ids[first:]).all())
