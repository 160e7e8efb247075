"""Bases for keys of few bits, found on random tokens (see `graph_ir.decoder.balance`)."""

from collections.abc import Mapping

import numpy as np

from egrl.kv.walk import F32, LayerStates, Visitor, walk
from graph_ir.compression.method import Array, Runner
from graph_ir.decoder.balance import F64, KeyBasis, balanced_basis, with_key_bases
from graph_ir.decoder.decoder import Decoder

TOKENS = 1024


def balanced_keys(decoder: Decoder, runner: Runner, seed: int = 0) -> Decoder:
    """The same decoder with keys that lose little when they are stored with few levels.

    Queries and keys of random tokens serve about as well as those of text, see decision 0036.

    Args:
        decoder: it is not changed.
        runner: executes it.
        seed: of the tokens.

    Raises:
        InputError: the runner refuses the decoder.
    """
    length = min(TOKENS, decoder.most_positions or TOKENS)
    ids_R = np.random.default_rng(seed).integers(0, decoder.vocabulary, length)
    found = _Bases()
    walk(decoder, runner, ids_R, found)
    return with_key_bases(decoder, found.bases)


class _Bases(Visitor):
    """The basis of each attention."""

    def __init__(self) -> None:
        self.bases: list[KeyBasis] = []

    def layer(self, states: LayerStates, known: Mapping[str, Array]) -> None:
        """See `Visitor`."""
        del known
        width = states.attention.head_width
        queries_KRD = states.query_HRD.reshape(states.attention.kv_heads, -1, width)
        self.bases.append(balanced_basis(_moments(states.key_KRD), _moments(queries_KRD)))


def _moments(rows_KRD: F32) -> F64:
    rows = rows_KRD.astype(np.float64)
    result: F64 = rows.transpose(0, 2, 1) @ rows / rows.shape[1]
    return result
