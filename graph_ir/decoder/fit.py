"""Measures what an attention of the source computes, by asking it.

With one-hot values an attention returns its softmax's weights. From the weights of a few chosen
queries and keys follow which positions are seen, ALiBi slopes, learned sinks, the scale and the
soft cap; random queries, keys and values then decide whether that is all of it.

Suffixes: H query heads, K KV heads, R rows, T positions, D width of queries and keys, V of values.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from graph_ir.decoder.decoder import Attention
from graph_ir.decoder.numpy_attention import causal_attention
from graph_ir.decoder.region import Region
from graph_ir.decoder.snap import Snap
from graph_ir.decoder.window import far_window, near_window
from graph_ir.errors import InputError

F64 = NDArray[np.float64]

_ROWS, _PAST = 3, 9
_SLOPE_POSITIONS = 64
# Weights below this are too small for float32 to say much about.
_FAINT = 1e-25
# In multiples of the precision of the source's floats: 1e-5 for float32.
_TOLERANCE_EPS = 84.0
_LOUD = 8.0
# In multiples of the precision: weights that add up to less leave some to a sink.
_MISSING_EPS = 16.0


@dataclasses.dataclass(frozen=True, slots=True)
class Fitted:
    """What an attention is.

    Attributes:
        attention: its numbers.
        sinks_H: logits of its learned sinks, or None.
    """

    attention: Attention
    sinks_H: F64 | None


class AttentionFitter:
    """Asks one attention.

    Args:
        region: the attention.
        where: file and node, for messages.
        precision: of the source's floats.
    """

    def __init__(self, region: Region, where: str, precision: float) -> None:
        self._region = region
        self._where = where
        self._precision = precision
        layouts = region.layouts
        self._heads, self._kv_heads = layouts.query.heads, layouts.key.heads
        self._width, self._value_width = layouts.key.width, layouts.value.width
        self._snap = Snap(region.graph, precision)

    def fit(self) -> Fitted:
        """All numbers of the attention.

        Raises:
            InputError: it does something else than `CausalAttention`; the line says what.
        """
        self._check_heads()
        window = near_window(self._flat_weights(_ROWS, _PAST), self._where)
        sinks_H, slopes_H = self._sinks(), self._slopes(window)
        attention = Attention(
            node=self._region.site.node.name or "",
            query_heads=self._heads,
            kv_heads=self._kv_heads,
            head_width=self._width,
            value_width=self._value_width,
            scale=1.0,
            window=window,
            slopes=tuple(slopes_H.tolist()) if slopes_H is not None else (),
            sinks=sinks_H is not None,
            form=self._region.site.form,
        )
        scale, softcap = self._scale_and_softcap(slopes_H)
        attention = dataclasses.replace(attention, scale=scale, softcap=softcap)
        if window == 0 and slopes_H is None:
            window = far_window(self._region, self._where)
            attention = dataclasses.replace(attention, window=window)
        fitted = Fitted(attention, sinks_H)
        self._verify(fitted)
        return fitted

    def _check_heads(self) -> None:
        if self._heads % self._kv_heads != 0:
            raise InputError(
                f"{self._where}: {self._heads} query heads cannot share {self._kv_heads} KV heads"
            )
        if self._region.layouts.query.width != self._width:
            raise InputError(
                f"{self._where}: queries of width {self._region.layouts.query.width}, keys of "
                f"width {self._width}"
            )

    def _weights(self, query_HRD: F64, key_KTD: F64) -> F64:
        """The softmax's weights `[H, R, T]`."""
        length = key_KTD.shape[1]
        parts = []
        for start in range(0, length, self._value_width):
            value_KTV = np.zeros((self._kv_heads, length, self._value_width))
            for column in range(min(self._value_width, length - start)):
                value_KTV[:, start + column, column] = 1.0
            output = self._region.attend(query_HRD, key_KTD, value_KTV)
            parts.append(output[:, :, : length - start])
        return np.concatenate(parts, axis=-1)

    def _flat_weights(self, rows: int, past: int) -> F64:
        """Weights where every product is zero."""
        query_HRD = np.zeros((self._heads, rows, self._width))
        key_KTD = np.zeros((self._kv_heads, past + rows, self._width))
        return self._weights(query_HRD, key_KTD)

    def _slopes(self, window: int) -> F64 | None:
        """By how much logits fall with the distance, where they do."""
        length = self._region.room(_SLOPE_POSITIONS)
        weights_HT = self._flat_weights(1, length - 1)[:, 0]
        own_H = weights_HT[:, -1]
        distance_T = np.arange(length) - (length - 1)
        slopes_H = np.zeros(self._heads)
        for head in range(self._heads):
            clear_T = weights_HT[head] > _FAINT
            if window:
                clear_T &= distance_T > -window
            bias_T = np.log(weights_HT[head, clear_T] / own_H[head])
            far_T = distance_T[clear_T]
            slopes_H[head] = (far_T @ bias_T) / max(1.0, float(far_T @ far_T))
        tolerance = _TOLERANCE_EPS * self._precision
        sloped = bool((np.abs(slopes_H) * _SLOPE_POSITIONS > tolerance).any())
        return self._snap.slopes(slopes_H) if sloped else None

    def _sinks(self) -> F64 | None:
        """What of the weights of very few positions is missing."""
        past = 0 if self._region.site.key_cache is None else 1
        weights_HT = self._flat_weights(1, past)[:, 0]
        left_H = 1.0 - weights_HT.sum(axis=-1)
        missing = _MISSING_EPS * self._precision
        if (left_H < -missing).any():
            raise InputError(
                f"{self._where}: its weights add up to {1 - left_H.min():.6g}, expected at most 1"
            )
        if (left_H <= missing).all():
            return None
        clear_H = np.maximum(left_H, self._precision / 4)
        measured_H = np.log(clear_H / weights_HT[:, -1])
        return self._snap.per_head(measured_H, 4 * self._precision / clear_H)

    def _scale_and_softcap(self, slopes_H: F64 | None) -> tuple[float, float]:
        """From the logits of products `reach / 2` and `reach`, next to one of zero."""
        slope_H = np.zeros(self._heads) if slopes_H is None else slopes_H
        query_HRD = np.zeros((self._heads, 1, self._width))
        query_HRD[:, 0, 0] = 1.0
        reach = 1.0
        while True:
            key_KTD = np.zeros((self._kv_heads, self._region.room(4), self._width))
            key_KTD[:, -2, 0], key_KTD[:, -3, 0] = reach / 2, reach
            weights_HT = self._weights(query_HRD, key_KTD)[:, 0]
            with np.errstate(divide="ignore"):
                half_H = np.log(weights_HT[:, -2] / weights_HT[:, -1]) + slope_H
                full_H = np.log(weights_HT[:, -3] / weights_HT[:, -1]) + 2 * slope_H
            if not np.isfinite(half_H + full_H).all():
                raise InputError(f"{self._where}: its weights vanish for products of {reach}")
            half, full = float(half_H.mean()), float(full_H.mean())
            loud = abs(full) >= _LOUD or (abs(full) > 0.1 and abs(full) < 1.5 * abs(half))
            if loud or reach > 2.0**30:
                break
            reach *= 2
        spread = max(float(np.ptp(half_H)), float(np.ptp(full_H)))
        allowed = 4 * _TOLERANCE_EPS * self._precision * max(1.0, abs(full))
        if spread > allowed:
            raise InputError(
                f"{self._where}: its heads scale the products of queries and keys differently"
            )
        if abs(full) < 1e-3:
            raise InputError(f"{self._where}: its weights do not depend on queries and keys")
        if abs(full - 2 * half) <= allowed:
            return self._snap.scale(full / reach, self._width), 0.0
        return self._capped(half, full, reach)

    def _capped(self, half: float, full: float, reach: float) -> tuple[float, float]:
        """Scale and cap of `cap * tanh(scale * product / cap)` from its values at two products."""
        if not 1.0 < full / half < 2.0:
            raise InputError(
                f"{self._where}: twice the product of query and key gives {full / half:.4g} times "
                "the logit; expected 2, or less where a soft cap bends it"
            )
        low, high = 1e-6, 60.0
        for _ in range(200):
            middle = (low + high) / 2
            # tanh(x) / tanh(x / 2) falls from 2 to 1.
            if np.tanh(middle) / np.tanh(middle / 2) > full / half:
                low = middle
            else:
                high = middle
        cap = self._snap.softcap(full / float(np.tanh(low)))
        scale = cap * float(np.arctanh(half / cap)) / (reach / 2)
        return self._snap.scale(scale, self._width), cap

    def _verify(self, fitted: Fitted) -> None:
        """Compares with the normal form on noise.

        Raises:
            InputError: they differ.
        """
        random = np.random.default_rng(7)
        tolerance = _TOLERANCE_EPS * self._precision
        for rows, past in self._sizes(fitted.attention.window):
            length = rows + past
            query_HRD = random.standard_normal((self._heads, rows, self._width))
            key_KTD = random.standard_normal((self._kv_heads, length, self._width))
            value_KTV = random.standard_normal((self._kv_heads, length, self._value_width))
            # As the source reads them, so that rounding does not count.
            query_HRD, key_KTD, value_KTV = (
                self._region.rounded(array) for array in (query_HRD, key_KTD, value_KTV)
            )
            got = self._region.attend(query_HRD, key_KTD, value_KTV)
            wanted = causal_attention(
                fitted.attention, query_HRD, key_KTD, value_KTV, fitted.sinks_H
            )
            error = float(np.abs(got - wanted).max())
            if not error <= tolerance:
                raise InputError(
                    f"{self._where}: an unknown form of attention: for {rows} rows after {past} "
                    f"positions it differs by {error:.3g} from scale {fitted.attention.scale:.6g}, "
                    f"{_words(fitted.attention)} (expected at most {tolerance:.1g})"
                )

    def _sizes(self, window: int) -> Sequence[tuple[int, int]]:
        room = self._region.room(1 << 20)
        sizes = [(3, 9), (1, 12), (5, 2)]
        if window > _PAST:
            sizes.append((2, window + 1))
        return [(rows, past) for rows, past in sizes if rows + past <= room]


def _words(attention: Attention) -> str:
    parts = [f"{attention.query_heads} query heads and {attention.kv_heads} KV heads"]
    parts.append(f"a window of {attention.window}" if attention.window else "causal mask")
    parts.extend(["ALiBi"] if attention.slopes else [])
    parts.extend([f"soft cap {attention.softcap:.4g}"] if attention.softcap else [])
    parts.extend(["learned sinks"] if attention.sinks else [])
    return ", ".join(parts)
