"""`egrl inspect`: what an artifact holds."""

import argparse
from pathlib import Path

from egrl.cli.parser import Verbs


def add(verbs: Verbs) -> None:
    """Add the verb."""
    parser = verbs.add_parser("inspect", help="say what an artifact holds")
    parser.add_argument("artifact", type=Path, metavar="OUT.egrl")
    parser.set_defaults(command=command)


def command(args: argparse.Namespace) -> int:
    """Inspect."""
    from msgspec import UNSET

    from accelerator_sim.units import bytes_text, plain, seconds_text
    from runtime.compression import summary
    from runtime.generation.record import decoder_text
    from runtime.load import load_artifact

    artifact = load_artifact(args.artifact)
    manifest = artifact.manifest
    seeds = ", ".join(f"{plain(name)} {seed}" for name, seed in manifest.seeds.items())
    rows = (
        ("artifact", f"{args.artifact}, schema {manifest.schema}"),
        ("made by", f"egrl {plain(manifest.tool_version)}"),
        ("source", f"{plain(manifest.source.name)}, sha256 {plain(manifest.source.sha256)}"),
        ("target", f"{plain(manifest.target)}, {plain(manifest.execution_type)}"),
        (
            "placed by",
            f"{plain(manifest.placer)}, budget {plain(manifest.budget)}, seed {seeds or '-'}",
        ),
        ("passes", ", ".join(plain(p.name) for p in manifest.passes) or "none changed anything"),
        (
            "execution",
            f"onnxruntime {plain(manifest.onnxruntime_version) or '-'}, optimization "
            f"{manifest.execution.optimization_level}, threads "
            f"{manifest.execution.intra_op_threads or 'all'}",
        ),
    )
    for label, text in rows:
        print(f"{label:<10} {text}")
    for graph in manifest.graphs:
        plan, report = artifact.plans[graph], artifact.reports[graph]
        print(
            f"{'graph':<10} {graph}: {len(plan.ops)} ops, {len(plan.tensors)} tensors, "
            f"{len(plan.copies)} copies, latency {seconds_text(report.latency_s)}"
        )
    for graph, done in ({} if manifest.compression is UNSET else manifest.compression).items():
        for record in done:
            print(f"{'compressed':<10} {plain(graph)}: {plain(summary(record))}")
    if manifest.decoder is not UNSET:
        decoder = manifest.decoder
        ends = ", ".join(map(str, decoder.eos)) or "none"
        print(
            f"{'decoder':<10} {decoder.vocabulary} tokens, prompt in chunks of {decoder.chunk}, "
            f"attention {plain(decoder.kv_form)}, tokens that end a text: {ends}"
        )
        print(f"{'caches':<10} {decoder_text(decoder)}")
    for name, file in manifest.files.items():
        print(f"{'file':<10} {name:<24} {bytes_text(file.size_bytes):>10}  {file.sha256[:16]}")
    return 0
