"""onnxruntime's own weight quantizers, on the same file and the same weights as ours."""

import contextlib
import io
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray

from graph_ir.errors import InputError
from runtime.npz import read_inputs

Feeds = dict[str, NDArray[np.generic]]
TOOLS = ("ort-default", "ort-default-asymmetric", "ort-rtn", "ort-k-quant", "ort-hqq", "ort-gptq")
ACCURACY_LEVEL = 4


class Reader:
    """Calibration samples one by one, as the tool wants them."""

    def __init__(self, samples: Sequence[Feeds]) -> None:
        self._left: Iterator[Feeds] = iter(samples)

    def get_next(self) -> Feeds | None:
        """The next sample, None at the end."""
        return next(self._left, None)


def compress_peer(
    tool: str, model: Path, out: Path, bits: int, group: int, calibration: Path | None = None
) -> tuple[float, str]:
    """Quantize a file into a folder; returns seconds and what was asked of the tool.

    Args:
        tool: out of `TOOLS`.
        model: ONNX file with static shapes, its weights beside it.
        out: folder for `model.onnx`.
        bits: of the integers.
        group: input channels a scale.
        calibration: folder of samples, for the tools that want them.

    Raises:
        InputError: no such tool, or it fails.
    """
    if tool == "ort-int8-dynamic":
        return _dynamic(model, out)
    from onnxruntime.quantization import matmul_nbits_quantizer as nbits

    samples = [read_inputs(p) for p in sorted(calibration.glob("*.npz"))] if calibration else []
    configs: dict[str, Callable[[], object]] = {
        "ort-default": lambda: nbits.DefaultWeightOnlyQuantConfig(
            block_size=group, is_symmetric=True, accuracy_level=ACCURACY_LEVEL, bits=bits
        ),
        "ort-default-asymmetric": lambda: nbits.DefaultWeightOnlyQuantConfig(
            block_size=group, is_symmetric=False, accuracy_level=ACCURACY_LEVEL, bits=bits
        ),
        "ort-rtn": nbits.RTNWeightOnlyQuantConfig,
        "ort-k-quant": nbits.KQuantWeightOnlyQuantConfig,
        "ort-hqq": lambda: nbits.HQQWeightOnlyQuantConfig(block_size=group, bits=bits),
        "ort-gptq": lambda: nbits.GPTQWeightOnlyQuantConfig(
            calibration_data_reader=Reader(samples), block_size=group
        ),
    }
    if tool not in configs:
        raise InputError(f"peer {tool}: expected one of {', '.join(configs)}")
    logging.disable(logging.WARNING)
    began = time.perf_counter()
    symmetric = tool != "ort-default-asymmetric"
    with contextlib.redirect_stdout(io.StringIO()):
        quantizer = nbits.MatMulNBitsQuantizer(
            str(model) if tool == "ort-gptq" else onnx.load(model),
            bits=bits,
            block_size=group,
            is_symmetric=symmetric,
            accuracy_level=ACCURACY_LEVEL,
            algo_config=configs[tool](),
        )
        quantizer.process()
    out.mkdir(parents=True, exist_ok=True)
    save_external(quantizer.model.model, out)
    notes = f"block_size={group} bits={bits} accuracy_level={ACCURACY_LEVEL} symmetric={symmetric}"
    return time.perf_counter() - began, notes


def _dynamic(model: Path, out: Path) -> tuple[float, str]:
    """`quantize_dynamic`: int8 weights, activations quantized as they come."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    out.mkdir(parents=True, exist_ok=True)
    began = time.perf_counter()
    # Only products with a constant: the tool takes ONNX's Attention for another op of that name.
    quantize_dynamic(
        model,
        out / "model.onnx",
        weight_type=QuantType.QInt8,
        per_channel=True,
        op_types_to_quantize=["MatMul", "Gemm"],
        use_external_data_format=True,
        extra_options={"MatMulConstBOnly": True},
    )
    return time.perf_counter() - began, "QInt8 per channel"


def save_external(model: onnx.ModelProto, out: Path) -> None:
    """Write `model.onnx` with its large tensors in `weights.data` beside it."""
    onnx.save(
        model,
        out / "model.onnx",
        save_as_external_data=True,
        all_tensors_to_one_file=True,
        location="weights.data",
        size_threshold=1024,
    )
