"""What the heads of a decoder look for, found without data: the probe of RazorAttention.

Random tokens are repeated. A query of a repetition that looks at the earlier occurrences of its
own token echoes; one that looks at the tokens behind them does induction: it finds what followed
before. Heads that do either need keys from far back (Tang et al., RazorAttention, arXiv
2407.15891, section 3.2). Scores are of queries and keys as they are multiplied, so after rotation.

Shape suffixes: as in `egrl.kv.walk`.
"""

from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np

from egrl.kv.alibi import product_bounds
from egrl.kv.errors import HeadErrors
from egrl.kv.walk import F32, Ids, LayerStates, Visitor, walk
from graph_ir.compression.method import Runner
from graph_ir.decoder.decoder import Decoder
from graph_ir.errors import InputError
from graph_ir.kv.scoring import Rotation

Scores = tuple[tuple[float, ...], ...]


@dataclass(frozen=True, slots=True)
class ProbeOptions:
    """The tokens of a probe.

    Attributes:
        period: different tokens that are repeated (published: 2500); fewer where the vocabulary or
            the decoder's positions leave no room.
        repeats: how often they occur.
        first: token before them, as a text begins with one.
        seed: of the tokens.
    """

    period: int = 512
    repeats: int = 4
    first: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        """Checks the options.

        Raises:
            InputError: nothing is repeated.
        """
        if self.period < 2 or self.repeats < 2 or self.first < 0:
            raise InputError(
                f"probe: expected a period of 2 or more, repeated 2 times or more, got {self}"
            )


@dataclass(frozen=True, slots=True)
class HeadProbe:
    """Scores of the KV heads, each the maximum over its query heads.

    Attributes:
        echo: [layer][KV head], mean weight on earlier occurrences of the query's token.
        induction: likewise on the tokens behind them.
        period: of the tokens that were repeated.
        repeats: how often.
        seed: of the tokens.
        products: for each attention with ALiBi the largest scaled product of each query head; see
            `egrl.kv.alibi`.
        errors: what windows cost the heads, where that was measured.
        rotations: of each attention's queries, where they were measured.
    """

    echo: Scores
    induction: Scores
    period: int = 0
    repeats: int = 0
    seed: int = 0
    products: Scores = ()
    errors: HeadErrors | None = None
    rotations: tuple[Rotation, ...] | None = None

    def __post_init__(self) -> None:
        """Checks that both scores are of the same heads and finite.

        Raises:
            InputError: they are not.
        """
        same = [len(a) for a in self.echo] == [len(a) for a in self.induction]
        values = [value for rows in (*self.echo, *self.induction, *self.products) for value in rows]
        if not same or not np.isfinite(values).all():
            raise InputError("probe: expected two finite scores for every KV head")


def probe_tokens(decoder: Decoder, options: ProbeOptions) -> Ids:
    """The tokens: the first, then `repeats` times the same `period` different ones.

    The lowest twentieth of the vocabulary is left out, where special tokens tend to be.

    Raises:
        InputError: too small a vocabulary or too few positions.
    """
    lowest = decoder.vocabulary // 20
    room = decoder.vocabulary - lowest
    if decoder.most_positions:
        room = min(room, (decoder.most_positions - 1) // options.repeats)
    period = min(options.period, room)
    if period < 2 or options.first >= decoder.vocabulary:
        raise InputError(
            f"probe: a vocabulary of {decoder.vocabulary} and {decoder.most_positions} positions "
            f"leave no room for {options.repeats} repetitions behind token {options.first}"
        )
    rng = np.random.default_rng(options.seed)
    drawn = lowest + rng.permutation(decoder.vocabulary - lowest)[:period]
    return np.concatenate([[options.first], np.tile(drawn, options.repeats)]).astype(np.int64)


def probe_heads(decoder: Decoder, runner: Runner, options: ProbeOptions | None = None) -> HeadProbe:
    """Scores all KV heads of a decoder.

    Args:
        decoder: it is not changed.
        runner: executes it.
        options: of the tokens.

    Raises:
        InputError: the decoder is too small for a probe, or the runner refuses it.
    """
    options = options or ProbeOptions()
    ids_R = probe_tokens(decoder, options)
    period = (len(ids_R) - 1) // options.repeats
    scores = _Scores(decoder, period, len(ids_R))
    walk(decoder, runner, ids_R, scores)
    echo, induction = (tuple(map(tuple, table)) for table in scores.by_kv_head())
    products: Scores = ()
    if any(layer.slopes for layer in decoder.layers):
        products = product_bounds(decoder, runner)
    return HeadProbe(echo, induction, period, options.repeats, options.seed, products)


class _Scores(Visitor):
    """Sums of the weights of interest, query head by query head."""

    def __init__(self, decoder: Decoder, period: int, rows: int) -> None:
        self.layers = decoder.layers
        self.period = period
        self.scored = rows - 1 - period
        self.sums = [np.zeros((2, layer.query_heads)) for layer in decoder.layers]

    def block(self, states: LayerStates, rows_B: Ids, probabilities_HBT: F32) -> None:
        """See `Visitor`: a row of a repetition counts its token's earlier places."""
        for ahead in (0, 1):
            # Position 0 is the first token, which is not repeated.
            for back in range(self.period, int(rows_B[-1]), self.period):
                at = np.flatnonzero(rows_B - back >= 1)
                found_HB = probabilities_HBT[:, at, rows_B[at] - back + ahead]
                self.sums[states.index][ahead] += found_HB.sum(axis=1, dtype=np.float64)

    def by_kv_head(self) -> tuple[list[list[float]], list[list[float]]]:
        """Echo and induction, the maximum over each KV head's query heads."""
        tables: tuple[list[list[float]], list[list[float]]] = ([], [])
        for layer, sums in zip(self.layers, self.sums, strict=True):
            means = sums / self.scored
            for table, mean_H in zip(tables, means, strict=True):
                table.append(mean_H.reshape(layer.kv_heads, -1).max(axis=1).tolist())
        return tables


def write_probe(probe: HeadProbe, path: Path) -> None:
    """Writes a probe as JSON."""
    path.write_bytes(msgspec.json.format(msgspec.json.encode(probe), indent=1) + b"\n")


def read_probe(path: Path, decoder: Decoder) -> HeadProbe:
    """Reads a probe that `write_probe` wrote.

    Raises:
        InputError: it cannot be read, is none, or is of a decoder with other heads.
    """
    try:
        probe = msgspec.json.decode(path.read_bytes(), type=HeadProbe)
    except (OSError, msgspec.DecodeError) as error:
        raise InputError(f"{path}: {' '.join(str(error).split())}") from error
    check_heads(probe, decoder, str(path))
    return probe


def check_heads(probe: HeadProbe, decoder: Decoder, where: str) -> None:
    """Refuses a probe of another decoder.

    Raises:
        InputError: its KV heads are not the decoder's.
    """
    expected = [layer.kv_heads for layer in decoder.layers]
    got = [len(row) for row in probe.induction]
    if got != expected:
        raise InputError(f"{where}: expected scores of {expected} KV heads by layer, got {got}")
