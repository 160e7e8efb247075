"""Arrays that come from a checkpoint."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graph_ir.errors import InputError

Array = NDArray[Any]
Arrays = Mapping[str, Array]


def checked(arrays: Arrays, name: str, kind: np.dtype[Any], shape: tuple[int, ...]) -> Array:
    """An array that must be there, of this type and shape.

    Raises:
        InputError: it is not.
    """
    if name not in arrays:
        raise InputError(f"{name}: missing")
    found = arrays[name]
    if found.dtype != kind or found.shape != shape:
        raise InputError(
            f"{name}: expected {kind.name} {list(shape)}, got {found.dtype.name} "
            f"{list(found.shape)}"
        )
    return found
