"""From a method to a layout: what it needs to know of the decoder is found out, once."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from egrl.kv.errors import measure_errors
from egrl.kv.made_up import made_up_text
from egrl.kv.method import KvMethod
from egrl.kv.probe import HeadProbe, ProbeOptions, probe_heads
from egrl.kv.rotations import measure_rotations
from egrl.kv.said_twice import said_twice
from egrl.kv.walk import Ids
from graph_ir.compression.method import Runner
from graph_ir.decoder.decoder import Decoder
from graph_ir.errors import InputError
from graph_ir.kv.layout import KvLayout, without_idle_windows

MEASURED = 2048
"""Tokens that heads are measured on at most."""


def plan_layout(
    method: KvMethod,
    decoder: Decoder,
    context: int,
    runner: Runner,
    probe: HeadProbe | None = None,
    options: ProbeOptions | None = None,
) -> KvLayout:
    """What a method keeps.

    Args:
        method: with its options.
        decoder: it is not changed.
        context: positions that a sequence may have.
        runner: executes the decoder where the method needs a probe that is not given.
        probe: of this decoder, if there is one already.
        options: of the probe.

    Raises:
        InputError: the decoder cannot be probed, or the method refuses it.
        UnmetRequirementError: a budget that has no room for the method.
    """
    if method.needs_probe and probe is None:
        probe = probe_heads(decoder, runner, options)
    if method.needs_errors and probe is not None and probe.errors is None:
        text = getattr(method, "text", "")
        ids_R = read_text(Path(text), decoder) if text else made_up_text(decoder, runner)
        ids_R = said_twice(ids_R, min(MEASURED, decoder.most_positions or MEASURED))
        probe = replace(probe, errors=measure_errors(decoder, runner, ids_R))
    if method.needs_rotations and (probe is None or probe.rotations is None):
        probe = probe or HeadProbe(echo=(), induction=())
        probe = replace(probe, rotations=measure_rotations(decoder, runner, context))
    return without_idle_windows(method.layout(decoder, context, probe))


def read_text(path: Path, decoder: Decoder) -> Ids:
    """The tokens of a `.npy` file, in one row.

    Raises:
        InputError: it cannot be read, or is no text of this decoder.
    """
    try:
        found = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"{path}: {' '.join(str(error).split())}") from error
    if not isinstance(found, np.ndarray) or found.dtype.kind not in "iu" or found.size < 2:
        raise InputError(f"{path}: expected an array of 2 tokens or more")
    ids_R: Ids = found.reshape(-1).astype(np.int64)
    most = decoder.most_positions or len(ids_R)
    ids_R = ids_R[:most]
    if ids_R.min() < 0 or ids_R.max() >= decoder.vocabulary:
        raise InputError(f"{path}: expected tokens of 0 to {decoder.vocabulary - 1}")
    return ids_R
