"""Real or sensible inputs for every model of the set, and the extents that they are given for.

`DIMS` is what `egrl compile --dim` needs for each model. A dimension is called by its symbol, or
`input:axis` where the file gives it none.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import onnx

from graph_ir.errors import InputError
from model_set.photo import centre_crop, random_crop, read_png, resize
from model_set.texts import BERT_IDS, SMOLLM2_IDS

Arrays = dict[str, np.ndarray]
Shapes = Mapping[str, tuple[int, ...]]

DIMS: dict[str, dict[str, int]] = {
    "efficientnet-lite0": {},
    "resnet50": {},
    "resnet101": {},
    "bert-base": {},
    "minilm": {"batch": 1, "seq": 128},
    "minilm-int8": {"batch": 1, "sequence": 128},
    "minilm-contrib": {"batch_size": 1, "sequence_length": 128, "total_sequence_length": 128},
    "ppocr-det": {
        "p2o.DynamicDimension.0": 1,
        "p2o.DynamicDimension.1": 640,
        "p2o.DynamicDimension.2": 640,
    },
    "ppocr-rec": {"p2o.DynamicDimension.0": 1, "x:2": 48, "p2o.DynamicDimension.1": 320},
    "ppocr-cls": {"x:0": 1, "x:2": 48, "x:3": 192},
    "magika": {"unk__214": 1},
    "open-nsfw": {"unk__653": 1},
    "open-nsfw-clutter": {"batch": 1},
    "silero-vad": {"sequence_length": 32},
    "silero-vad-if": {"input:0": 1, "input:1": 576, "state:1": 1},
    "smollm2": {"seq": 1, "past": 127, "total": 128},
    "smollm2-prefill": {"seq": 128},
    "smollm2-decode": {"context": 1024},
    "light-resnet50": {},
    "light-densenet121": {},
    "light-inception-v1": {},
    "light-inception-v2": {},
    "light-shufflenet": {},
    "light-squeezenet": {},
    "light-bvlc-alexnet": {},
    "light-vgg19": {},
    "light-zfnet512": {},
}

# Seed 0 takes the first one whole; other seeds draw a photograph and a crop.
_SCENES = (
    "coffee.png",
    "chelsea.png",
    "astronaut.png",
    "motorcycle_left.png",
    "motorcycle_right.png",
    "camera.png",
    "clock_motion.png",
    "coins.png",
    "brick.png",
    "grass.png",
    "gravel.png",
)
# Rows and columns of words on the photographed page.
_WORDS = (
    (9, 36, 4, 147),  # Region-based
    (9, 36, 147, 296),  # segmentation
    (50, 66, 20, 88),  # us first
    (50, 68, 88, 162),  # determine
)


class Maker:
    """What the makers of inputs draw from: photographs, a seed, its random numbers."""

    def __init__(self, photos: Path, seed: int) -> None:
        self.photos = photos
        self.seed = seed
        self.random = np.random.default_rng(seed)

    def scene(self, side: int) -> np.ndarray:
        """A square of a photograph, [side, side, 3] in 0 to 255."""
        if self.seed == 0:
            return centre_crop(read_png(self.photos / _SCENES[0]), side * 8 // 7, side)
        name = _SCENES[int(self.random.integers(len(_SCENES)))]
        return random_crop(read_png(self.photos / name), side, self.random)

    def page(self) -> np.ndarray:
        """The photograph of a printed page, [191, 384, 3]; darker or brighter by seed."""
        page = read_png(self.photos / "page.png").astype(np.float64)
        return page if self.seed == 0 else np.clip(page * self.random.uniform(0.7, 1.3), 0, 255)

    def text(self, ids: tuple[int, ...], length: int) -> np.ndarray:
        """`length` tokens of the text, from its beginning with seed 0, else from anywhere."""
        start = 0 if self.seed == 0 else int(self.random.integers(len(ids)))
        return np.resize(np.roll(np.array(ids, np.int64), -start), length)


def _channels_first(picture: np.ndarray, mean: float, scale: float) -> np.ndarray:
    return ((picture - mean) / scale).transpose(2, 0, 1)[None].astype(np.float32)


def _image(maker: Maker, shapes: Shapes) -> Arrays:
    ((name, shape),) = shapes.items()
    return {name: _channels_first(maker.scene(shape[-1]), 127.0, 128.0)}


def _open_nsfw(maker: Maker, shapes: Shapes) -> Arrays:
    """Channels last, blue first, the mean of each channel taken off."""
    ((name, shape),) = shapes.items()
    picture = maker.scene(shape[1])[:, :, ::-1] - np.array([104.0, 117.0, 123.0])
    return {name: picture[None].astype(np.float32)}


def _ocr_detection(maker: Maker, shapes: Shapes) -> Arrays:
    """The page at the top of the frame, grey below it; the mean and deviation of ImageNet."""
    _, _, height, width = shapes["x"]
    page = maker.page()
    rows = min(height, round(page.shape[0] * width / page.shape[1]))
    frame = np.full((height, width, 3), 127.0)
    frame[:rows] = resize(page, rows, width)
    mean, deviation = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    return {"x": _channels_first((frame / 255.0 - mean) / deviation, 0.0, 1.0)}


def _ocr_word(maker: Maker, shapes: Shapes) -> Arrays:
    """One printed word at the left of the frame, zeros beside it."""
    _, _, height, width = shapes["x"]
    top, bottom, left, right = _WORDS[maker.seed % len(_WORDS)]
    word = maker.page()[top:bottom, left:right]
    columns = min(width, round((right - left) * height / (bottom - top)))
    frame = np.zeros((1, 3, height, width), np.float32)
    frame[:, :, :, :columns] = _channels_first(resize(word, height, columns), 127.5, 127.5)
    return {"x": frame}


def _bert(maker: Maker, shapes: Shapes) -> Arrays:
    """One sentence after another between [CLS] and [SEP]; other seeds than 0 pad the end."""
    batch, length = shapes["input_ids"]
    ids = np.zeros((batch, length), np.int64)
    mask = np.zeros((batch, length), np.int64)
    for row in range(batch):
        used = length if maker.seed == 0 else int(maker.random.integers(length // 2, length + 1))
        ids[row, 1 : used - 1] = maker.text(BERT_IDS[1:-1], used - 2)
        ids[row, 0], ids[row, used - 1] = BERT_IDS[0], BERT_IDS[-1]
        mask[row, :used] = 1
    return {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}


def _prefill(maker: Maker, shapes: Shapes) -> Arrays:
    return {"input_ids": maker.text(SMOLLM2_IDS, shapes["input_ids"][1])[None]}


def _decode(maker: Maker, shapes: Shapes) -> Arrays:
    """One token in the middle of the context; the caches hold noise, finite as it has to be."""
    arrays: Arrays = {}
    for name, shape in shapes.items():
        if name == "input_ids":
            arrays[name] = maker.text(SMOLLM2_IDS, 1)[None]
        elif name == "position_ids":
            context = shapes["past_key_values.0.key"][2]
            position = context // 2 if maker.seed == 0 else int(maker.random.integers(context))
            arrays[name] = np.array([[position]], np.int64)
        else:
            arrays[name] = maker.random.standard_normal(shape, np.float32)
    return arrays


def _append(maker: Maker, shapes: Shapes) -> Arrays:
    """Tokens after a past of noise, without padding."""
    rows = shapes["input_ids"][1]
    past = shapes["attention_mask"][1] - rows
    arrays: Arrays = {
        "input_ids": maker.text(SMOLLM2_IDS, rows)[None],
        "attention_mask": np.ones(shapes["attention_mask"], np.int64),
        "position_ids": np.arange(past, past + rows, dtype=np.int64)[None],
    }
    for name in shapes:
        if name not in arrays:
            arrays[name] = maker.random.standard_normal(shapes[name], np.float32)
    return arrays


def _file_bytes(maker: Maker, shapes: Shapes) -> Arrays:
    """First and last 1024 bytes of a file: a text, with other seeds one of the pictures."""
    name = "LICENSE.txt" if maker.seed == 0 else _SCENES[maker.seed % len(_SCENES)]
    path = maker.photos / name
    if not path.exists():
        raise InputError(f"{path}: no such file; `scripts/models photos` makes it")
    half = shapes["bytes"][1] // 2
    content = np.frombuffer(path.read_bytes().strip(), np.uint8)
    return {"bytes": np.concatenate([content[:half], content[-half:]])[None].astype(np.int32)}


def _voice(maker: Maker, shapes: Shapes) -> np.ndarray:
    """A hummed vowel with a little noise, 16 kHz: [chunks, 64 samples of the last one + 512]."""
    chunks, size = shapes["input"]
    step = size - 64
    time_s = np.arange(chunks * step + 64) / 16000.0
    pitch_hz = 110.0 + 20.0 * maker.random.uniform() + 5.0 * np.sin(2 * np.pi * 3.0 * time_s)
    phase = 2 * np.pi * np.cumsum(pitch_hz) / 16000.0
    tones = sum(np.sin(phase * n) / n for n in range(1, 12))
    sound = 0.1 * tones + 0.005 * maker.random.standard_normal(time_s.shape)
    return np.stack([sound[at * step : at * step + size] for at in range(chunks)]).astype(
        np.float32
    )


def _silero(maker: Maker, shapes: Shapes) -> Arrays:
    states = {name: np.zeros(shapes[name], np.float32) for name in ("h", "c")}
    return {"input": _voice(maker, shapes), **states}


def _silero_if(maker: Maker, shapes: Shapes) -> Arrays:
    return {
        "input": _voice(maker, shapes),
        "state": np.zeros(shapes["state"], np.float32),
        "sr": np.array(16000, np.int64),
    }


_MAKERS: dict[str, Callable[[Maker, Shapes], Arrays]] = {
    "bert-base": _bert,
    "minilm": _bert,
    "minilm-int8": _bert,
    "minilm-contrib": _bert,
    "ppocr-det": _ocr_detection,
    "ppocr-rec": _ocr_word,
    "ppocr-cls": _ocr_word,
    "magika": _file_bytes,
    "open-nsfw": _open_nsfw,
    "open-nsfw-clutter": _open_nsfw,
    "silero-vad": _silero,
    "silero-vad-if": _silero_if,
    "smollm2": _append,
    "smollm2-prefill": _prefill,
    "smollm2-decode": _decode,
}


def input_shapes(model_path: Path, dims: Mapping[str, int]) -> dict[str, tuple[int, ...]]:
    """Shapes of a model's inputs with the given extents (initializers are no inputs).

    Raises:
        InputError: a dimension has no value.
    """
    graph = onnx.load(model_path, load_external_data=False).graph
    constants = {tensor.name for tensor in graph.initializer}
    shapes: dict[str, tuple[int, ...]] = {}
    for value in graph.input:
        if value.name in constants:
            continue
        extents = []
        for axis, dim in enumerate(value.type.tensor_type.shape.dim):
            symbol = dim.dim_param if dim.dim_param not in ("", "?") else f"{value.name}:{axis}"
            known = dim.HasField("dim_value") and dim.dim_value >= 0
            if not known and symbol not in dims:
                raise InputError(f"{model_path}: dimension {symbol}: expected a value, got none")
            extents.append(dim.dim_value if known else dims[symbol])
        shapes[value.name] = tuple(extents)
    return shapes


def sample_inputs(name: str, model_path: Path, seed: int) -> Arrays:
    """Inputs for a model of the set at the extents of `DIMS`; the same seed gives the same.

    Args:
        name: of the model.
        model_path: its file, with the folder `photos` beside it.
        seed: 0 gives the plain example; others vary photograph and crop, or the piece of text.

    Raises:
        InputError: an unknown name, or photographs that were not built.
    """
    if name not in DIMS:
        raise InputError(f"sample inputs: expected one of {', '.join(DIMS)}; got {name}")
    path = Path(model_path)
    shapes = input_shapes(path, DIMS[name])
    arrays = _MAKERS.get(name, _image)(Maker(path.parent / "photos", seed), shapes)
    got = {key: array.shape for key, array in arrays.items()}
    if got != shapes:
        raise InputError(f"{path}: expected inputs {shapes} of {name}, made {got}")
    return arrays
