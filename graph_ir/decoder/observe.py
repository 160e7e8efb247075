"""Runs a source as it is, to see the shapes and types of what its attentions read and write."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from graph_ir.compression.method import Execute, Runner
from graph_ir.decoder.cache_updates import Cache
from graph_ir.decoder.extents import shapes_of_activations
from graph_ir.decoder.head_layout import HeadLayout, growing_axis, layout_of
from graph_ir.decoder.op_sites import READERS
from graph_ir.decoder.region import Layouts
from graph_ir.decoder.site import Site
from graph_ir.decoder.sites import depends_on_tokens
from graph_ir.decoder.source import Array, CacheInput, Call, feeds_of
from graph_ir.errors import InputError
from graph_ir.node_forms import describe_node
from graph_ir.onnx_values import op_key, value_name

_CAPACITY = 16


@dataclass(frozen=True, slots=True)
class Observation:
    """What a source did.

    Attributes:
        execute: runs the source as it was; it returns everything that was looked at and all its
            outputs.
        calls: the sizes of the calls.
        results: the values of each call.
        shapes: those that `Shape` and `Size` said of activations.
        one_row: whether it takes one row at a time.
    """

    execute: Execute
    calls: tuple[Call, ...]
    results: tuple[dict[str, Array], ...]
    shapes: tuple[ir.Value, ...]
    one_row: bool


def open_source(runner: Runner, model: ir.Model, outputs: Sequence[ir.Value], path: str) -> Execute:
    """Opens a source.

    Raises:
        InputError: the engine refuses it; the line names the file.
    """
    try:
        return runner.open(model, [value_name(value) for value in outputs])
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def observe(
    model: ir.Model,
    tokens: ir.Value,
    sites: Sequence[Site],
    caches: Mapping[str, CacheInput],
    runner: Runner,
    path: str,
) -> Observation:
    """Runs a source in a few calls.

    Raises:
        InputError: the engine refuses the model even for one row.
    """
    graph = model.graph
    pasts = [v for v in graph.inputs if value_name(v) in caches]
    shapes = shapes_of_activations(graph, depends_on_tokens(graph, [tokens, *pasts]))
    wanted = [*shapes, *graph.outputs]
    for site in sites:
        wanted += [site.query, site.key, site.value, site.node.outputs[0]]
        both = (site.key_cache, site.value_cache)
        wanted += [cache.held for cache in both if cache is not None]
    computed = dict.fromkeys(v for v in wanted if v.producer() is not None)
    execute = open_source(runner, model, tuple(computed), path)

    def run(call: Call) -> dict[str, Array]:
        random = np.random.default_rng(call.rows)
        ids = random.integers(0, 2, call.rows)
        feeds = feeds_of(graph.inputs, call, ids, caches, random, path)
        try:
            return feeds | execute(feeds)
        except InputError as error:
            raise InputError(f"{path}: {call.rows} tokens after {call.past}: {error}") from error

    past = 5 if caches else 0
    calls = tuple(
        Call(rows, past - less, _CAPACITY)
        for rows, less in ((3, 0), (2, past // 5), (3, past // 5))
    )
    try:
        results = tuple(run(call) for call in calls)
    except InputError:
        calls = tuple(Call(1, past, _CAPACITY) for past in (5, 4, 7))
        results = tuple(run(call) for call in calls)
        return Observation(execute, calls, results, tuple(shapes), one_row=True)
    # What a cache's capacity shows in depends on more than rows.
    try:
        roomy = run(Call(3, calls[2].past, _CAPACITY + 3))
        fixed = [
            value
            for value in shapes
            if np.array_equal(roomy[value_name(value)], results[2][value_name(value)])
        ]
    except InputError:
        fixed = list(shapes)
    return Observation(execute, calls, results, tuple(fixed), one_row=False)


def layouts_of(site: Site, seen: Observation, path: str) -> Layouts:
    """How a site lays out its heads.

    Raises:
        InputError: an arrangement that is none of whole heads, rows and widths.
    """
    where = f"{path}: {describe_node(site.node)}"

    def shapes(value: ir.Value) -> tuple[tuple[int, ...], tuple[int, ...]]:
        name = value_name(value)
        return seen.results[0][name].shape, seen.results[1][name].shape

    def layout(value: ir.Value, axis: int, width: int, heads: int, rows: int) -> HeadLayout:
        shape, other = shapes(value)
        if len(shape) < 3:
            raise InputError(f"{where}: expected heads, rows and widths, got shape {list(shape)}")
        found = growing_axis(shape, other, axis, where)
        return layout_of(shape, found, rows, width, heads, where)

    rows = seen.calls[0].rows
    query_shape, _ = shapes(site.query)
    flat = len(query_shape) == 3 and site.query_heads > 0
    width = 0 if flat else query_shape[-1]
    query = layout(site.query, -2, width, site.query_heads, rows)
    new_axis = site.key_cache.new_axis if site.key_cache is not None else -2
    key = layout(site.key, new_axis, query.width, site.kv_heads, rows)
    new_axis = site.value_cache.new_axis if site.value_cache is not None else -2
    value = layout(site.value, new_axis, 0, key.heads, rows)
    output = layout(site.node.outputs[0], -2, value.width, query.heads, rows)
    return Layouts(
        query,
        key,
        value,
        _held(site, site.key_cache, key, seen, where),
        _held(site, site.value_cache, value, seen, where),
        output,
    )


def _held(
    site: Site, cache: Cache | None, new: HeadLayout, seen: Observation, where: str
) -> HeadLayout | None:
    """The layout of a cache as the update reads it."""
    if cache is None:
        return None
    shape = list(seen.results[0][value_name(cache.past)].shape)
    axis = cache.held_axis % len(shape)
    if op_key(site.node) in READERS:
        return HeadLayout("HRW", (1, new.heads, -1, new.width), new.heads, new.width)
    if cache.held is not cache.past:
        # What is appended has the layout of what it is appended to.
        return HeadLayout(new.kind, new.shape, new.heads, new.width)
    return layout_of(tuple(shape), axis, shape[axis], new.width, new.heads, where)
