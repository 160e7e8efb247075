"""Reads a decoder from an ONNX file, whatever exporter wrote it, and brings it to normal form.

Attentions are found by structure, what they compute is measured, positions are found by what
values they take (`graph_ir.decoder.sites`, `.fit`, `.positions`), and in the end the normal form
must give the logits of the source, token by token.
"""

from pathlib import Path

import numpy as np
import onnx_ir as ir
from onnx_ir.passes import common

from graph_ir.compression.method import Runner
from graph_ir.decoder.attention_function import carry_functions
from graph_ir.decoder.caches import cache_inputs, pair_outputs
from graph_ir.decoder.decoder import LOGITS, ROWS, TOKENS, Attention, Decoder
from graph_ir.decoder.emit import Emitter
from graph_ir.decoder.equality import Calls, check_equality
from graph_ir.decoder.extents import detach_shapes
from graph_ir.decoder.fit import AttentionFitter, Fitted
from graph_ir.decoder.fused_caches import part_fused_caches
from graph_ir.decoder.observe import Observation, layouts_of, observe, open_source
from graph_ir.decoder.op_forms import check_operators, packs_something, spread_operators
from graph_ir.decoder.positions import replace_positions
from graph_ir.decoder.prepare import prepare
from graph_ir.decoder.region import Layouts, Region
from graph_ir.decoder.rewrite import replace_attention
from graph_ir.decoder.site import Site
from graph_ir.decoder.sites import find_sites
from graph_ir.decoder.source import Array, Call, feeds_of, precision_of
from graph_ir.decoder.tables import most_positions
from graph_ir.errors import InputError
from graph_ir.load import open_graph
from graph_ir.node_forms import describe_node
from graph_ir.onnx_values import value_name
from graph_ir.text import quoted

_POSITION_CALLS = ((3, 5), (5, 4), (2, 7))
_CAPACITY = 16


def read_decoder(path: Path, runner: Runner) -> Decoder:
    """Reads a decoder.

    Args:
        path: of an ONNX file.
        runner: executes the source and parts of it, on small inputs.

    Raises:
        InputError: not a decoder whose attentions, caches and positions are understood; one line
            that names the node and the reason.
    """
    where = str(path)
    model, digest = open_graph(path)
    tokens, positions = prepare(model, path)
    graph = model.graph
    check_operators(graph, where)
    original = None
    if packs_something(graph):
        original = open_source(runner, model, graph.outputs, where)
        spread_operators(graph, positions, where)
    part_fused_caches(graph)
    sites = find_sites(graph, tokens, where)
    if not sites:
        raise InputError(
            f"{path}: expected attentions, found no softmax between two products of activations"
        )
    caches = cache_inputs(sites)
    outputs = pair_outputs(graph, sites, where)
    seen = observe(model, tokens, sites, caches, runner, where)
    source = Calls(
        original or seen.execute,
        tuple(graph.inputs),
        caches,
        {past: value_name(output) for past, output in outputs.next_of.items()},
        value_name(outputs.logits),
        seen.one_row,
        where,
    )
    if not seen.one_row:
        detach_shapes(graph, seen.shapes, tokens, seen.calls, seen.results)
    attentions = _replace_attentions(model, sites, seen, runner, where)
    _keep_output(graph, source.logits)
    common.RemoveUnusedNodesPass()(model)
    _replace_positions(model, (tokens, positions), source, runner)
    vocabulary = int(seen.results[0][source.logits].shape[-1])
    _finish(model, tokens, vocabulary)
    check_equality(model, source, vocabulary, runner)
    return Decoder(model, attentions, vocabulary, most_positions(graph, positions), where, digest)


def _replace_attentions(
    model: ir.Model, sites: tuple[Site, ...], seen: Observation, runner: Runner, path: str
) -> tuple[Attention, ...]:
    """Measures all attentions in the graph as it is, then replaces them."""
    caches = cache_inputs(sites)
    types = {name: array.dtype for name, array in seen.results[0].items()}
    found: list[tuple[Site, Layouts, Fitted]] = []
    for site in sites:
        where = f"{path}: {describe_node(site.node)}"
        layouts = layouts_of(site, seen, path)
        region = Region(model, site, layouts, types, caches, runner, path, seen.one_row)
        precision = precision_of(types[value_name(site.query)])
        found.append((site, layouts, AttentionFitter(region, where, precision).fit()))
    for layer, (site, layouts, fitted) in enumerate(found):
        kind = ir.DataType.from_numpy(types[value_name(site.query)])
        replace_attention(model.graph, site, layouts, fitted, layer, kind)
    return tuple(fitted.attention for _, _, fitted in found)


def _replace_positions(
    model: ir.Model, known: tuple[ir.Value, ir.Value], source: Calls, runner: Runner
) -> None:
    """Lets nothing but the inputs of the normal form say where a token is."""
    tokens, positions = known
    calls = tuple(
        Call(1 if source.one_row else rows, past if source.caches else 0, _CAPACITY)
        for rows, past in _POSITION_CALLS
    )

    def feeds(call: Call) -> dict[str, Array]:
        ids = np.zeros(call.rows, np.int64)
        return feeds_of(model.graph.inputs, call, ids, source.caches, None, source.path)

    replace_positions(model, tokens, positions, calls, feeds, runner)
    common.RemoveUnusedNodesPass()(model)
    _check_inputs(model.graph, known, source.path)


def _keep_output(graph: ir.Graph, name: str) -> None:
    """Drops all outputs but one."""
    logits = next(output for output in graph.outputs if output.name == name)
    graph.outputs.clear()
    graph.outputs.append(logits)


def _check_inputs(graph: ir.Graph, known: tuple[ir.Value, ...], path: str) -> None:
    """Drops inputs that nothing reads.

    Raises:
        InputError: something still reads a mask, a cache or a length of the source.
    """
    for value in tuple(graph.inputs):
        if value in known:
            continue
        if not value.uses():
            graph.inputs.remove(value)
            continue
        readers = {use.node for use in value.uses()}
        first = next(node for node in graph if node in readers)
        raise InputError(
            f"{path}: {describe_node(first)} reads the input {quoted(value.name or '')} for "
            "something other than attention and positions; expected nothing else to depend on it"
        )


def _finish(model: ir.Model, tokens: ir.Value, vocabulary: int) -> None:
    """Names, types and shapes of the normal form."""
    graph = model.graph
    first = next(iter(graph))
    emitter = Emitter(graph, "tokens", first)
    uses = list(tokens.uses())
    kind, shape = tokens.dtype, tokens.shape
    tokens.type, tokens.shape = ir.TensorType(ir.DataType.INT64), ir.Shape([1, ROWS])
    given = tokens
    if shape is not None and len(shape) == 1:
        given = emitter.reshape(given, [-1])
    if kind is not None and kind is not ir.DataType.INT64:
        given = emitter.cast(given, kind)
    if given is not tokens:
        for use in uses:
            use.node.replace_input_with(use.idx, given)
    logits = graph.outputs[0]
    emitter = Emitter(graph, "logits")
    if logits.dtype is not None and logits.dtype is not ir.DataType.FLOAT:
        logits = emitter.cast(logits, ir.DataType.FLOAT)
        graph.outputs[0] = logits
    for node in graph:
        for value in node.outputs:
            if value.name in (TOKENS, LOGITS) and value is not logits:
                value.name = emitter.fresh("source")
    tokens.name, logits.name = TOKENS, LOGITS
    logits.type = ir.TensorType(ir.DataType.FLOAT)
    logits.shape = ir.Shape([1, ROWS, vocabulary])
    common.RemoveUnusedOpsetsPass()(model)
    carry_functions(model)
