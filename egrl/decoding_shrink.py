"""What is left of a decoder: compressions of its weights and of its caches, in the order given."""

from dataclasses import dataclass, field, replace

from egrl.compression.compress import AUTO, Compressed, Compression
from egrl.compression.spec import Spec, parse_spec
from egrl.decoding_weights import calibration_rows, compress_weights
from egrl.kv.plan import plan_layout
from egrl.kv.registry import is_kv_spec, kv_method
from graph_ir.compression.method import Runner
from graph_ir.decoder.decoder import Decoder
from graph_ir.kv.layout import KvLayout, full_layout
from runtime.manifest import PassRecord

FULL = "full"


@dataclass(frozen=True, slots=True)
class Kept:
    """What is left.

    Attributes:
        decoder: its weights compressed.
        layout: what its caches keep.
        compressed: what was done to the weights.
        method: that chose what is kept.
        options: of the method, all of them.
        records: lines of the manifest, in the order given.
    """

    decoder: Decoder
    layout: KvLayout
    compressed: Compressed = field(default_factory=Compressed)
    method: str = FULL
    options: dict[str, str] = field(default_factory=dict)
    records: tuple[PassRecord, ...] = ()


def shrink(decoder: Decoder, asked: Compression, context: int, runner: Runner) -> Kept:
    """Compresses weights and chooses what caches keep.

    A method that looks at the decoder's heads sees the weights as the compressions before it left
    them.

    Args:
        decoder: is not changed.
        asked: which compressions; at most one of caches.
        context: positions that a sequence may have.
        runner: executes the decoder where heads are scored.

    Raises:
        InputError: a flag is wrong, or two of them cannot be had together.
        UnmetRequirementError: the error of the logits, or a budget of the caches.
    """
    specs = [parse_spec(text) for text in asked.texts]
    caches = [at for at, spec in enumerate(specs) if is_kv_spec(spec)]
    _check(specs, caches)
    weights = replace(asked, texts=tuple(s.text for s in specs if not is_kv_spec(s)))
    rows = calibration_rows(asked, context)
    everything = full_layout(context, tuple(layer.kv_heads for layer in decoder.layers))
    if not caches:
        smaller, done = compress_weights(decoder, weights, rows)
        return Kept(smaller, everything, done, records=done.records)
    spec, first = specs[caches[0]], caches[0] == 0
    if first:
        layout, options = _layout(decoder, spec, context, runner)
        smaller, done = compress_weights(decoder, weights, rows)
    else:
        smaller, done = compress_weights(decoder, weights, rows)
        layout, options = _layout(smaller, spec, context, runner)
    own = PassRecord(spec.family, dict(options))
    records = (own, *done.records) if first else (*done.records, own)
    return Kept(smaller, layout, done, spec.family, options, records)


def _layout(
    decoder: Decoder, spec: Spec, context: int, runner: Runner
) -> tuple[KvLayout, dict[str, str]]:
    method, options = kv_method(spec)
    return plan_layout(method, decoder, context, runner), options


def _check(specs: list[Spec], caches: list[int]) -> None:
    for spec in specs:
        if spec.family == AUTO:
            raise spec.fail("not for decoders: expected a precision, e.g. int4:rtn")
    if len(caches) > 1:
        first, second = (specs[at].family for at in caches[:2])
        raise specs[caches[1]].fail(
            f"expected one compression of caches, got {first} and {second}; bits of what is kept "
            f"are an option: {first},bits=8"
        )
    if caches and 0 < caches[0] < len(specs) - 1:
        raise specs[caches[0]].fail(
            "expected compressions of weights before it or behind it, got some on both sides"
        )
