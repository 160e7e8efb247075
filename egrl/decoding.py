"""`compile --decode`: a decoder in, an artifact that generates text out."""

from collections.abc import Sequence
from pathlib import Path

from accelerator_sim.targets import load_target
from egrl.budget import default_budget, parse_budget
from egrl.compilation import CompileOutcome, Searched
from egrl.compression.compress import Compression
from egrl.compression.runner import OnnxRuntimeRunner
from egrl.constraints import Constraints, read_constraints
from egrl.decoding_place import Search, place_steps, reported
from egrl.decoding_shrink import shrink
from egrl.decoding_steps import FORMS, Form, make_steps
from egrl.decoding_texts import read_texts
from egrl.decoding_write import DecoderParts, write_decoder
from egrl.placers.base import Progress, no_progress
from graph_ir.decoder.decoder import Decoder
from graph_ir.decoder.read import read_decoder
from graph_ir.errors import InputError
from graph_ir.lower import lower
from runtime.generation.record import DECODE, MAX_CONTEXT
from runtime.write import check_replaceable


def compile_decoder(
    model: str | Path,
    *,
    out: str | Path,
    context: int,
    target: str = "nnp-i",
    chunk: int | None = None,
    tokenizer: str | Path | None = None,
    eos: Sequence[str] = (),
    kv_form: Form = "onnxruntime",
    precision: str | None = None,
    compress: Sequence[str] = (),
    calibration: str | Path | None = None,
    max_error: float | None = None,
    placer: str = "auto",
    budget: str | None = None,
    seed: int = 0,
    constraints: str | Path | None = None,
    progress: Progress = no_progress,
) -> CompileOutcome:
    """Compile a decoder into graphs for its prompt and for one token, which share weights.

    Args:
        model: ONNX file of a decoder, with or without caches.
        out: artifact folder to write; an artifact there is replaced.
        context: positions that a sequence may have.
        target: name of a shipped accelerator, or a TOML file.
        chunk: rows of the graph that reads the prompt; 128, or what fits, where None.
        tokenizer: a `tokenizer.json`; without one there are tokens and no texts.
        eos: tokens that end a text; those that the tokenizer has for it where empty.
        kv_form: of the attention in the graphs; `standard` for every runtime.
        precision: execution type; the target's default where None.
        compress: compressions in order, of weights (`int4:rtn`) and one of caches (`razor`).
        calibration: `.npz` file of inputs, or a folder of them; drawn with `seed` where None.
        max_error: largest relative error of the logits by the compressed weights.
        placer: see `egrl placers`.
        budget: of the placer for both graphs together, `30s` or `4000ev`.
        seed: of the placer and the compressions.
        constraints: TOML file with pins.
        progress: told of improvements.

    Raises:
        InputError: what was given is wrong, or the model is no decoder that is understood.
        UnmetRequirementError: no plan fits, or the error is too large.
    """
    if kv_form not in FORMS:
        raise InputError(f"--kv-form {kv_form}: expected one of {', '.join(FORMS)}")
    budget = default_budget(measured=False) if budget is None else budget
    limits = parse_budget(budget)
    check_replaceable(Path(out).absolute())
    fixed = read_constraints(Path(constraints)) if constraints else Constraints()
    accelerator, runner = load_target(target), OnnxRuntimeRunner()

    source = read_decoder(Path(model), runner)
    check_context(source, context)
    texts = read_texts(Path(tokenizer) if tokenizer else None, eos, source.vocabulary)
    asked = Compression(tuple(compress), calibration, max_error, seed)
    kept = shrink(source, asked, context, runner)
    steps = make_steps(kept, chunk, kv_form)
    types = precision or accelerator.default_type
    streamed = frozenset(accelerator.streamed_views)
    workloads = {n: lower(g, n, types, streamed).workload for n, g in steps.graphs.items()}
    search = Search(placer, limits, seed, progress, Path(model).stem)
    placed = place_steps(workloads, accelerator, fixed.pins, search)
    placed[DECODE] = reported(placed[DECODE], steps.graphs[DECODE], context)
    record = write_decoder(
        DecoderParts(kept, steps, placed, texts, kv_form),
        Path(out),
        target,
        Searched(placer, budget, seed, None),
    )
    reports = {name: step.placed.report for name, step in placed.items()}
    done = tuple(detail.record for detail in kept.compressed.details)
    return CompileOutcome(Path(out), reports, decoder=record, compressed=done)


def check_context(decoder: Decoder, context: int) -> None:
    """Refuses a context that the model was not built for.

    Raises:
        InputError: fewer than 2 positions, or more than the model has.
    """
    most = decoder.most_positions or MAX_CONTEXT
    if not 2 <= context <= most:
        raise InputError(
            f"--context {context}: expected 2 to {most}"
            + (", the positions that the model was built for" if decoder.most_positions else "")
        )
