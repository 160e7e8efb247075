"""The state of a numpy generator as JSON and back."""

from typing import Any

import numpy as np

from graph_ir.errors import InputError

KIND = "PCG64"


def rng_state(rng: np.random.Generator) -> dict[str, Any]:
    """What `set_rng_state` takes; 128-bit numbers as text."""
    state = rng.bit_generator.state
    assert state["bit_generator"] == KIND
    return {
        "bit_generator": KIND,
        "state": str(state["state"]["state"]),
        "inc": str(state["state"]["inc"]),
        "has_uint32": int(state["has_uint32"]),
        "uinteger": int(state["uinteger"]),
    }


def set_rng_state(rng: np.random.Generator, kept: dict[str, Any]) -> None:
    """Let a generator go on where another one was.

    Raises:
        InputError: that is no state of one.
    """
    try:
        if kept["bit_generator"] != KIND:
            raise ValueError(kept["bit_generator"])
        words = {key: int(kept[key]) for key in ("state", "inc", "has_uint32", "uinteger")}
        limits = {"state": 128, "inc": 128, "has_uint32": 1, "uinteger": 32}
        if any(not 0 <= words[key] < 2**bits for key, bits in limits.items()):
            raise ValueError("out of range")
        rng.bit_generator.state = {
            "bit_generator": KIND,
            "state": {"state": words["state"], "inc": words["inc"]},
            "has_uint32": words["has_uint32"],
            "uinteger": words["uinteger"],
        }
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"rng: expected the state of a {KIND}") from error
