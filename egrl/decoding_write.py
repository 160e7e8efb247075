"""The artifact of a decoder: both graphs with their plans, one file of weights, the tokenizer."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import msgspec
import onnxruntime

from accelerator_sim.plan_builder import build_plan
from accelerator_sim.plan_io import plan_bytes
from accelerator_sim.targets import target_text
from accelerator_sim.validate import check_plan
from egrl.compilation import Searched
from egrl.decoding_place import PlacedStep
from egrl.decoding_shrink import Kept
from egrl.decoding_steps import Steps
from egrl.decoding_texts import Texts
from egrl.kv.budget import full_bytes, layout_bytes
from graph_ir.save import save_models
from runtime.generation.record import DECODE, TOKENIZER_FILE, DecoderRecord
from runtime.manifest import ARTIFACT_SCHEMA, Manifest, PassRecord, Source, graph_files
from runtime.write import write_artifact


@dataclass(frozen=True, slots=True)
class DecoderParts:
    """All that goes into the artifact.

    Attributes:
        kept: the decoder and what is left of it.
        steps: its graphs.
        placed: where their tensors are.
        texts: its tokenizer.
        form: of the attention in the graphs.
    """

    kept: Kept
    steps: Steps
    placed: Mapping[str, PlacedStep]
    texts: Texts
    form: str


def write_decoder(parts: DecoderParts, out: Path, target: str, searched: Searched) -> DecoderRecord:
    """Write the artifact; one that is there is replaced.

    Args:
        parts: all of it.
        out: artifact folder.
        target: name or file of the accelerator.
        searched: how the placements were found.

    Raises:
        InputError: it cannot be written.
    """
    files = {"accelerator.toml": target_text(target)[0].encode()}
    for name, step in parts.placed.items():
        plan = build_plan(step.problem, step.placed.homes_T.tolist(), step.placed.timeline)
        check_plan(plan)
        report = msgspec.json.format(msgspec.json.encode(step.placed.report), indent=1) + b"\n"
        _, plan_name, report_name = graph_files(name)
        files |= {plan_name: plan_bytes(plan), report_name: report}
    if parts.texts.tokenizer is not None:
        files[TOKENIZER_FILE] = parts.texts.tokenizer
    record = decoder_record(parts)
    graphs = parts.steps.graphs
    write_artifact(
        out,
        _manifest(parts, record, searched),
        files,
        lambda folder: save_models(graphs, folder),
    )
    return record


def decoder_record(parts: DecoderParts) -> DecoderRecord:
    """What the manifest says about the decoder."""
    kept = parts.kept
    return DecoderRecord(
        context=kept.layout.context,
        chunk=parts.steps.chunk,
        vocabulary=kept.decoder.vocabulary,
        eos=list(parts.texts.eos),
        kv_method=kept.method,
        kv_options=kept.options,
        kv_form=parts.form,
        kv_bytes=layout_bytes(kept.decoder, kept.layout),
        kv_full_bytes=full_bytes(kept.decoder, kept.layout.context),
        kv_keep=kept.layout.keep,
        kv_growth=kept.layout.growth,
    )


def _manifest(parts: DecoderParts, record: DecoderRecord, searched: Searched) -> Manifest:
    kept, problem = parts.kept, parts.placed[DECODE].problem
    changed = dict.fromkeys(report.name for report in parts.steps.passes if report.changes)
    layers = [detail.record for detail in kept.compressed.details]
    return Manifest(
        schema=ARTIFACT_SCHEMA,
        tool_version=version("egrl"),
        source=Source(Path(kept.decoder.source_path).name, kept.decoder.source_sha256),
        target=problem.accelerator.name,
        graphs=list(parts.steps.graphs),
        passes=[*(PassRecord(name) for name in changed), *kept.records],
        execution_type=problem.workload.execution_type,
        seeds={"placer": searched.seed},
        budget=searched.budget,
        placer=searched.placer,
        execution=kept.compressed.execution,
        onnxruntime_version=onnxruntime.__version__,
        compression=dict.fromkeys(parts.steps.graphs, layers) if layers else msgspec.UNSET,
        decoder=record,
    )
