"""Element types and constants of ONNX in torch."""

import warnings

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_TYPES = {
    1: torch.float32,
    2: torch.uint8,
    3: torch.int8,
    5: torch.int16,
    6: torch.int32,
    7: torch.int64,
    9: torch.bool,
    10: torch.float16,
    11: torch.float64,
    16: torch.bfloat16,
}


def torch_type(onnx_type: int) -> torch.dtype | None:
    """The type of ONNX's enumeration, None where torch has none."""
    return _TYPES.get(onnx_type)


def as_tensor(array: NDArray[np.generic]) -> Tensor:
    """An array as a tensor on the same memory, which must not be written to.

    Integers of fewer than 8 bits are widened, which copies them.
    """
    if array.dtype.name in ("int4", "int2"):
        array = array.astype(np.int8)
    elif array.dtype.name in ("uint4", "uint2"):
        array = array.astype(np.uint8)
    elif array.dtype.name == "bfloat16":
        array = array.astype(np.float32)
    if any(stride < 0 for stride in array.strides) or not array.dtype.isnative:
        array = np.ascontiguousarray(array, array.dtype.newbyteorder("="))
    with warnings.catch_warnings():
        # Weights are memory-mapped, read-only; nothing here writes to a constant.
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")
        return torch.from_numpy(array)
