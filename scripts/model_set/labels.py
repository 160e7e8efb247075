"""What goes into a model and comes out of it by name: word pieces, kinds of files."""

import json

from model_set.cache import Cache
from model_set.sources import MAGIKA_LABELS, MINILM_VOCABULARY


def build_vocabulary(cache: Cache, name: str) -> None:
    """Writes the word pieces that MiniLM's tokenizer knows, one a line, in order of their ids."""
    (member,) = MINILM_VOCABULARY.members
    cache.copy(cache.fetch(MINILM_VOCABULARY) / member, cache.root / "minilm.vocabulary.txt")


def build_labels(cache: Cache, name: str) -> None:
    """Writes the kinds of files that magika tells apart, one a line, in order of its outputs."""
    (member,) = MAGIKA_LABELS.members
    config = json.loads((cache.fetch(MAGIKA_LABELS) / member).read_text("utf-8"))
    with cache.writing(cache.root / "magika.labels.txt") as path:
        path.write_text("".join(f"{label}\n" for label in config["target_labels_space"]), "utf-8")
