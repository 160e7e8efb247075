"""`manifest.json`: what an artifact holds and how it was made."""

import re

import msgspec

from graph_ir.errors import InputError
from runtime.compression import CompressionRecord
from runtime.generation.record import DecoderRecord, check_decoder_record

ARTIFACT_SCHEMA = 1
MANIFEST_FILE = "manifest.json"
WEIGHTS_FILE = "weights.data"
TARGET_FILE = "accelerator.toml"
MAX_MANIFEST_BYTES = 16 << 20

OPTIMIZATION_LEVELS = ("disable", "basic", "extended", "all")

# A plain file name: no separator, no leading dot, nothing that a shell or an archive would bend.
_FILE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,127}")
_GRAPH_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,63}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


class Source(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The model that was compiled: its file name without folders, and the digest of its bytes."""

    name: str
    sha256: str


class PassRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A pass that changed the model.

    Attributes:
        name: of the pass.
        options: as given, resolved.
        error: measured relative error of the outputs, or null for a lossless pass.
    """

    name: str
    options: dict[str, str | int | float | bool | None] = {}
    error: float | None = None


class Execution(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How onnxruntime executes the graphs; the same in every run.

    Attributes:
        optimization_level: one of `OPTIMIZATION_LEVELS`.
        accuracy_level: of fused int4 matrix products (0, 1 or 4), or null for the default.
        intra_op_threads: default number of threads; 0 leaves it to onnxruntime.
    """

    optimization_level: str = "all"
    accuracy_level: int | None = None
    intra_op_threads: int = 1


class FileRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Digest and size of one file of the folder."""

    sha256: str
    size_bytes: int


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole of `manifest.json`.

    Attributes:
        schema: `ARTIFACT_SCHEMA`.
        tool_version: version of this package.
        source: the model that was compiled.
        target: name of the accelerator.
        graphs: names of the graphs; each has `NAME.onnx`, `NAME.plan.json`, `NAME.report.json`.
        passes: in the order in which they were applied.
        execution_type: default execution type of the plan.
        seeds: by what they seed.
        budget: as the placer was given it, for instance `30s` or `4000ev`.
        placer: that made the plan.
        execution: options of onnxruntime.
        onnxruntime_version: that the tool was installed with.
        files: every other file of the folder, by name.
        evaluator: command of the machine that the placer searched on; left out without one.
        compression: layer by layer what each compression did, by name of the graph; left out where
            nothing was compressed.
        decoder: how text is generated; left out where the model is no decoder.
    """

    schema: int
    tool_version: str
    source: Source
    target: str
    graphs: list[str]
    passes: list[PassRecord]
    execution_type: str
    seeds: dict[str, int]
    budget: str
    placer: str
    execution: Execution
    onnxruntime_version: str = ""
    files: dict[str, FileRecord] = {}
    evaluator: str | msgspec.UnsetType = msgspec.UNSET
    compression: dict[str, list[CompressionRecord]] | msgspec.UnsetType = msgspec.UNSET
    decoder: DecoderRecord | msgspec.UnsetType = msgspec.UNSET


class _SchemaOnly(msgspec.Struct, frozen=True):
    schema: int


def manifest_bytes(manifest: Manifest) -> bytes:
    """The bytes of `manifest.json`: equal manifests give equal bytes."""
    ordered = msgspec.structs.replace(
        manifest,
        files={name: manifest.files[name] for name in sorted(manifest.files)},
        seeds={name: manifest.seeds[name] for name in sorted(manifest.seeds)},
    )
    return msgspec.json.format(msgspec.json.encode(ordered), indent=2) + b"\n"


def parse_manifest(data: bytes, where: str) -> Manifest:
    """Decode and check a manifest.

    Args:
        data: the bytes of the file.
        where: how to name it in an error.

    Raises:
        InputError: not a manifest, an unknown schema, a name that leaves the folder.
    """
    try:
        schema = msgspec.json.decode(data, type=_SchemaOnly).schema
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"{where}: not an artifact manifest: {error}") from error
    if schema != ARTIFACT_SCHEMA:
        raise InputError(f"{where}: unknown schema: expected {ARTIFACT_SCHEMA}, got {schema}")
    try:
        manifest = msgspec.json.decode(data, type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"{where}: {error}") from error
    check_manifest(manifest, where)
    return manifest


def check_manifest(manifest: Manifest, where: str) -> None:
    """Check names, digests and options of a manifest.

    Raises:
        InputError: with the first thing that is wrong.
    """
    for name, record in manifest.files.items():
        if not is_file_name(name) or name == MANIFEST_FILE:
            raise InputError(f"{where}: files: expected plain file names, got {name!r}")
        if not _SHA256.fullmatch(record.sha256):
            raise InputError(f"{where}: files: {name}: sha256 is not 64 hexadecimal digits")
        if record.size_bytes < 0:
            raise InputError(f"{where}: files: {name}: negative size {record.size_bytes}")
    if TARGET_FILE not in manifest.files:
        raise InputError(f"{where}: files: {TARGET_FILE} is not listed")
    if not manifest.graphs:
        raise InputError(f"{where}: graphs: expected at least one, got none")
    if len(set(manifest.graphs)) != len(manifest.graphs):
        raise InputError(f"{where}: graphs: a name is listed twice: {manifest.graphs}")
    for graph in manifest.graphs:
        if not _GRAPH_NAME.fullmatch(graph):
            raise InputError(f"{where}: graphs: expected plain names, got {graph!r}")
        for name in graph_files(graph):
            if name not in manifest.files:
                raise InputError(f"{where}: files: graph {graph!r} needs {name}, not listed")
    compressed = {} if manifest.compression is msgspec.UNSET else manifest.compression
    for graph in compressed:
        if graph not in manifest.graphs:
            raise InputError(f"{where}: compression: no graph {graph!r}")
    if manifest.decoder is not msgspec.UNSET:
        check_decoder_record(manifest.decoder, manifest.graphs, where)
    execution = manifest.execution
    if execution.optimization_level not in OPTIMIZATION_LEVELS:
        raise InputError(
            f"{where}: execution.optimization_level: expected one of "
            f"{', '.join(OPTIMIZATION_LEVELS)}, got {execution.optimization_level!r}"
        )
    if execution.accuracy_level not in (None, 0, 1, 2, 3, 4):
        raise InputError(
            f"{where}: execution.accuracy_level: expected 0 to 4, got {execution.accuracy_level}"
        )
    if not 0 <= execution.intra_op_threads <= 1024:
        raise InputError(
            f"{where}: execution.intra_op_threads: expected 0 to 1024, "
            f"got {execution.intra_op_threads}"
        )


def is_file_name(name: str) -> bool:
    """True for a plain file name that stays in its folder."""
    return _FILE_NAME.fullmatch(name) is not None


def graph_files(graph: str) -> tuple[str, str, str]:
    """Names of the model, plan and report files of a graph."""
    return f"{graph}.onnx", f"{graph}.plan.json", f"{graph}.report.json"
