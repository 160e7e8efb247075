"""Sentences with human ratings: movie and product reviews, newspaper editorials, short messages."""

import tarfile
import tempfile
from pathlib import Path

from model_set.cache import Cache
from model_set.sources import SENTIMENT

# Name here -> name there; each line is an identifier, a rating from -4 to 4 and a sentence.
FILES = {
    "movies": "movieReviewSnippets",
    "products": "amazonReviewSnippets",
    "editorials": "nytEditorialSnippets",
    "messages": "tweets",
}


def build(cache: Cache, name: str) -> None:
    """Writes the folder `sentiment` with a text file each, UTF-8."""
    (member,) = SENTIMENT.members
    packed = cache.fetch(SENTIMENT) / member
    with tempfile.TemporaryDirectory(prefix=f".{name}.", dir=cache.root) as scratch:
        folder = Path(scratch) / name
        folder.mkdir()
        with tarfile.open(packed) as archive:
            for ours, theirs in FILES.items():
                stream = archive.extractfile(f"hutto_ICWSM_2014/{theirs}_GroundTruth.txt")
                assert stream is not None
                lines = stream.read().decode("utf-8").splitlines()
                whole = [line for line in lines if line.count("\t") == 2]
                (folder / f"{ours}.txt").write_text("\n".join(whole) + "\n", "utf-8")
        folder.replace(cache.root / name)
