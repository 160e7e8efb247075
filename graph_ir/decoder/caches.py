"""Pairs the caches of a graph: what comes in as past goes out as present."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import onnx_ir as ir

from graph_ir.decoder.cache_updates import Cache
from graph_ir.decoder.site import Site
from graph_ir.decoder.source import CacheInput
from graph_ir.errors import InputError
from graph_ir.node_forms import describe_node
from graph_ir.onnx_values import op_key, value_name
from graph_ir.text import quoted

_VIEWS = frozenset({"Transpose", "Cast", "Identity", "Reshape", "Unsqueeze", "Squeeze", "Concat"})
_CACHE_NAME = re.compile(r"present|past|cache|(^|[._])(key|value|k|v)([._]|$)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Outputs:
    """What a graph returns.

    Attributes:
        logits: of every token.
        next_of: by name of a cache input, the output that it is in the next call.
    """

    logits: ir.Value
    next_of: dict[str, ir.Value]


def cache_inputs(sites: Sequence[Site]) -> dict[str, CacheInput]:
    """The caches among the inputs, by name."""
    return {
        value_name(cache.past): CacheInput(cache.axis, cache.grows)
        for site in sites
        for cache in (site.key_cache, site.value_cache)
        if cache is not None
    }


def pair_outputs(graph: ir.Graph, sites: Sequence[Site], path: str) -> Outputs:
    """Tells the logits from the caches, and pairs these with the inputs.

    Raises:
        InputError: a cache that comes in and does not go out, or the other way round, attentions
            with and without caches, and outputs none or several of which may be the logits.
    """
    caches: dict[ir.Value, Cache] = {}
    whole: dict[ir.Value, Cache] = {}
    kept: set[ir.Value] = set()
    for site in sites:
        for cache, new in ((site.key_cache, site.key), (site.value_cache, site.value)):
            if cache is not None:
                caches[cache.present] = whole[cache.past] = cache
            kept.update(_behind(new))
    next_of: dict[str, ir.Value] = {}
    others: list[ir.Value] = []
    cached = bool(caches)
    for output in graph.outputs:
        chain = _behind(output)
        found = next((caches[value] for value in chain if value in caches), None)
        # A fused cache is appended to as a whole: behind it is the input itself.
        found = found or next((whole[value] for value in chain if value in whole), None)
        if found is not None:
            next_of.setdefault(value_name(found.past), output)
        elif any(value in kept for value in chain):
            if cached:
                raise InputError(
                    f"{path}: cache output {quoted(output.name or '')} has no input that it "
                    "continues"
                )
        else:
            others.append(output)
    for site in sites:
        if cached and (site.key_cache is None or site.value_cache is None):
            raise InputError(
                f"{path}: {describe_node(site.node)}: expected a cache of keys and one of values "
                "as other attentions have them, found none of one of them"
            )
    for cache in caches.values():
        if value_name(cache.past) not in next_of:
            raise InputError(
                f"{path}: cache input {quoted(value_name(cache.past))} has no output that "
                "continues it"
            )
    return Outputs(_logits(others, path), next_of)


def _behind(value: ir.Value) -> list[ir.Value]:
    """A value and those that it is a view of."""
    chain = [value]
    while (node := chain[-1].producer()) is not None and op_key(node) in _VIEWS:
        source = node.inputs[0]
        if source is None:
            break
        chain.append(source)
    return chain


def _logits(outputs: Sequence[ir.Value], path: str) -> ir.Value:
    named = [output for output in outputs if "logits" in (output.name or "").lower()]
    if len(named) == 1:
        return named[0]
    plain = [output for output in outputs if not _CACHE_NAME.search(output.name or "")]
    if len(plain) == 1 and len(outputs) == 1:
        return plain[0]
    stray = next((o for o in outputs if _CACHE_NAME.search(o.name or "")), None)
    if stray is not None:
        raise InputError(
            f"{path}: cache output {quoted(stray.name or '')} has no input that it continues"
        )
    names = ", ".join(quoted(output.name or "") for output in outputs) or "none"
    raise InputError(f"{path}: expected one output of logits beside the caches, got {names}")
