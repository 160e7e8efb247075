"""One attention cut out of its model, to be asked what it computes.

Suffixes: H query heads, K KV heads, R rows, P positions in the caches, T = P + R, D width of
queries and keys, V width of values.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from graph_ir.compression.method import Runner
from graph_ir.decoder.head_layout import HeadLayout
from graph_ir.decoder.site import Site
from graph_ir.decoder.source import Array, CacheInput, Call, feeds_of
from graph_ir.errors import InputError
from graph_ir.node_forms import describe_node
from graph_ir.onnx_values import value_name

F64 = NDArray[np.float64]
Floats = NDArray[np.floating]
# What unused slots of a cache with a capacity hold: finite, and seen at once where it leaks.
_UNUSED = 1000.0
_SPARE = 3


@dataclass(frozen=True, slots=True)
class Layouts:
    """How the source lays out what an attention reads and writes."""

    query: HeadLayout
    key: HeadLayout
    value: HeadLayout
    held_key: HeadLayout | None
    held_value: HeadLayout | None
    output: HeadLayout


class Region:
    """The nodes between queries, keys and values and the attention's output.

    Args:
        model: the whole model; left as it is.
        site: the attention.
        layouts: of its values.
        types: element types of its values by name.
        caches: of the whole model.
        runner: executes models.
        path: for messages.
        one_row: whether the source takes one row at a time.
    """

    def __init__(
        self,
        model: ir.Model,
        site: Site,
        layouts: Layouts,
        types: Mapping[str, np.dtype],
        caches: Mapping[str, CacheInput],
        runner: Runner,
        path: str,
        one_row: bool,
    ) -> None:
        self.site = site
        self.layouts = layouts
        self.one_row = one_row
        self._caches = caches
        self._path = path
        self._types = types
        cuts = [site.query, site.key, site.value]
        both = (site.key_cache, site.value_cache)
        cuts.extend(cache.held for cache in both if cache is not None)
        inputs = list(dict.fromkeys([*model.graph.inputs, *cuts]))
        self._output = site.node.outputs[0]
        self.graph = ir.convenience.extract(model.graph, inputs, [self._output])
        for given, value in zip(inputs, self.graph.inputs, strict=True):
            if not given.is_graph_input():
                value.shape = None
                value.type = ir.TensorType(ir.DataType.from_numpy(types[value_name(given)]))
        self._inputs = tuple(model.graph.inputs)
        part = ir.Model(
            self.graph, ir_version=model.ir_version, functions=tuple(model.functions.values())
        )
        self._execute = runner.open(part, [value_name(self._output)])

    def attend(self, query_HRD: Floats, key_KTD: Floats, value_KTV: Floats) -> F64:
        """The output `[H, R, V]` for the last rows of the keys and values.

        A source that takes one row at a time is asked row by row, and one without caches is given
        all positions as rows.

        Raises:
            InputError: the engine refuses it.
        """
        rows, length = query_HRD.shape[1], key_KTD.shape[1]
        if self.site.key_cache is None:
            missing = ((0, 0), (length - rows, 0), (0, 0))
            whole = self._call(np.pad(query_HRD, missing), key_KTD, value_KTV)
            return whole[:, length - rows :]
        if rows == 1 or not self.one_row:
            return self._call(query_HRD, key_KTD, value_KTV)
        parts = []
        for row in range(rows):
            end = length - rows + row + 1
            query_H1D = query_HRD[:, row : row + 1]
            parts.append(self._call(query_H1D, key_KTD[:, :end], value_KTV[:, :end]))
        return np.concatenate(parts, axis=1)

    def room(self, wanted: int) -> int:
        """As many positions as wanted, or as its caches have room for."""
        both = (self.site.key_cache, self.site.value_cache)
        fixed = [cache for cache in both if cache is not None and not cache.grows]
        return min([_fixed_extent(cache.past, cache.axis) or wanted for cache in fixed] + [wanted])

    def rounded(self, array: F64) -> F64:
        """An array as the source's floats hold it."""
        kind = self._types[value_name(self.site.query)]
        return np.asarray(array.astype(kind), np.float64)

    def _call(self, query_HRD: Floats, key_KTD: Floats, value_KTV: Floats) -> F64:
        rows = query_HRD.shape[1]
        past = key_KTD.shape[1] - rows
        capacity = past + rows + _SPARE
        call = Call(rows, past, capacity)
        tokens = np.arange(rows) % 2
        feeds = feeds_of(self._inputs, call, tokens, self._caches, None, self._path)
        site, layouts = self.site, self.layouts
        self._put(feeds, site.query, layouts.query, query_HRD)
        for new, cache, layout, held, array_KTW in (
            (site.key, site.key_cache, layouts.key, layouts.held_key, key_KTD),
            (site.value, site.value_cache, layouts.value, layouts.held_value, value_KTV),
        ):
            self._put(feeds, new, layout, array_KTW[:, past:])
            if cache is None or held is None:
                continue
            content = array_KTW[:, :past]
            if not cache.grows:
                room = _fixed_extent(cache.past, cache.axis) or capacity
                rest = ((0, 0), (0, room - past), (0, 0))
                content = np.pad(content, rest, constant_values=_UNUSED)
            self._put(feeds, cache.held, held, content)
        try:
            result = self._execute(feeds)[value_name(self._output)]
        except InputError as error:
            where = f"{self._path}: {describe_node(self.site.node)}"
            raise InputError(f"{where}: {rows} rows after {past} positions: {error}") from error
        return np.asarray(layouts.output.read(result), np.float64)

    def _put(
        self, feeds: dict[str, Array], value: ir.Value, layout: HeadLayout, array: Floats
    ) -> None:
        name = value_name(value)
        feeds[name] = layout.write(array).astype(self._types[name])


def _fixed_extent(value: ir.Value, axis: int) -> int:
    extent = value.shape[axis] if value.shape is not None else None
    return extent if isinstance(extent, int) else 0
