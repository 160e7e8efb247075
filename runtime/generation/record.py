"""What the manifest of a decoder's artifact says about it."""

import msgspec

from accelerator_sim.units import bytes_text, plain
from graph_ir.errors import InputError

PREFILL, SELECT, DECODE = "prefill", "select", "decode"
TOKENIZER_FILE = "tokenizer.json"

MAX_CONTEXT = 1 << 24
_MAX_ENDS = 64


class DecoderRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A decoder, as `manifest.json` has it.

    Attributes:
        context: positions that a sequence may have.
        chunk: rows of the graph `prefill`.
        vocabulary: number of tokens.
        eos: tokens at which a text ends.
        kv_method: which keys and values are kept.
        kv_options: of the method, resolved.
        kv_form: of the attention in the graphs: `onnxruntime` or `standard`.
        kv_bytes: of the caches of one sequence, as the graphs store them.
        kv_full_bytes: of caches that keep every position in float32.
        kv_keep: positions of a prompt that are chosen once it has been read, by the graph `select`;
            0 where nothing is chosen.
        kv_growth: positions after the prompt that there is room for then.
    """

    context: int
    chunk: int
    vocabulary: int
    eos: list[int]
    kv_method: str
    kv_options: dict[str, str]
    kv_form: str
    kv_bytes: int
    kv_full_bytes: int
    kv_keep: int = 0
    kv_growth: int = 0


def check_decoder_record(record: DecoderRecord, graphs: list[str], where: str) -> None:
    """Check what the type does not.

    Args:
        record: of a manifest.
        graphs: that the manifest lists.
        where: names the manifest in an error.

    Raises:
        InputError: with the first thing that is wrong.
    """
    for graph in step_graphs(record):
        if graph not in graphs:
            raise InputError(f"{where}: decoder: graph {graph!r} is not listed")
    if not 1 <= record.context <= MAX_CONTEXT:
        raise InputError(
            f"{where}: decoder.context: expected 1 to {MAX_CONTEXT}, got {record.context}"
        )
    if not 2 <= record.chunk <= MAX_CONTEXT:
        raise InputError(f"{where}: decoder.chunk: expected 2 to {MAX_CONTEXT}, got {record.chunk}")
    if record.vocabulary < 1:
        raise InputError(
            f"{where}: decoder.vocabulary: expected 1 or more, got {record.vocabulary}"
        )
    if len(record.eos) > _MAX_ENDS:
        raise InputError(
            f"{where}: decoder.eos: expected at most {_MAX_ENDS}, got {len(record.eos)}"
        )
    for token in record.eos:
        if not 0 <= token < record.vocabulary:
            raise InputError(f"{where}: decoder.eos: {token} is not in the vocabulary")
    if record.kv_bytes < 0 or record.kv_full_bytes < 0:
        raise InputError(f"{where}: decoder: negative bytes of caches")
    keep, growth = record.kv_keep, record.kv_growth
    if not (keep == growth == 0 or (1 <= keep <= record.context and 1 <= growth <= MAX_CONTEXT)):
        raise InputError(
            f"{where}: decoder: expected up to {record.context} chosen positions and room behind "
            f"them, or none of both, got kv_keep {keep} and kv_growth {growth}"
        )


def step_graphs(record: DecoderRecord) -> tuple[str, ...]:
    """The graphs that an artifact has, in the order in which a sequence goes through them."""
    return (PREFILL, SELECT, DECODE) if record.kv_keep else (PREFILL, DECODE)


def decoder_text(record: DecoderRecord) -> str:
    """What a person wants to know about the caches, on one line."""
    options = ",".join(f"{name}={value}" for name, value in record.kv_options.items())
    return (
        f"{record.context} positions: {bytes_text(record.kv_bytes)} kept by "
        f"{plain(record.kv_method)}{f' ({plain(options)})' if options else ''}, as stored here; "
        f"everything as float16 would take {bytes_text(record.kv_full_bytes)}"
        + ("; a prompt is kept whole while it is read" if record.kv_keep else "")
    )
