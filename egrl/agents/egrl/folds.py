"""Five folds over model families and accelerators: what a policy must not have seen.

Every real model belongs to the generated family that it is most like, every target to a group of
accelerators. The policy of a fold is trained without both, and judged on that fold's models on that
fold's targets. Real models are in no training set at all.
"""

from dataclasses import dataclass

from egrl.generator.accelerators import GROUPS


@dataclass(frozen=True, slots=True)
class Fold:
    """What is left out of training, and what it is left out for.

    Attributes:
        name: for tables and file names.
        families: generated families of models that are left out.
        groups: groups of accelerators that are left out.
        models: real models, judged.
        targets: judged.
    """

    name: str
    families: tuple[str, ...]
    groups: tuple[str, ...]
    models: tuple[str, ...]
    targets: tuple[str, ...]


FOLDS: tuple[Fold, ...] = (
    Fold(
        "residual",
        ("residual",),
        ("nnp-i",),
        ("resnet50", "resnet101", "light-resnet50", "open-nsfw", "open-nsfw-clutter"),
        ("nnp-i", "nnp-i-partitioned", "nnp-i-1core", "nnp-i-m2"),
    ),
    Fold(
        "encoder",
        ("encoder",),
        ("tpu", "ane"),
        ("bert-base", "minilm", "minilm-contrib", "minilm-int8"),
        ("tpu-v4i", "tpu-v5e", "ane-m4"),
    ),
    Fold(
        "mobile",
        ("depthwise", "recurrent"),
        ("ethos-u",),
        (
            "efficientnet-lite0", "light-shufflenet", "ppocr-cls", "ppocr-rec", "silero-vad",
            "magika",
        ),
        ("ethos-u55-128", "ethos-u55-256", "ethos-u65-512", "ethos-u85-512", "ethos-u85-2048"),
    ),
    Fold(
        "branches",
        ("branchy", "dense", "unet", "detector"),
        ("hexagon",),
        (
            "light-inception-v1", "light-inception-v2", "light-densenet121", "light-squeezenet",
            "ppocr-det",
        ),
        ("hexagon-vtcm-8m",),
    ),
    Fold(
        "chains",
        ("chain", "decoder", "decoder_cache"),
        ("nvdla", "imxrt"),
        (
            "light-bvlc-alexnet", "light-vgg19", "light-zfnet512", "smollm2-prefill",
            "smollm2-decode",
        ),
        ("nvdla-full", "nvdla-small", "imxrt1170"),
    ),
)  # fmt: skip


def is_seen(fold: Fold | None, family: str, archetype: str) -> bool:
    """Whether the policy of a fold may be trained on a problem."""
    if fold is None:
        return True
    return family not in fold.families and GROUPS[archetype] not in fold.groups
