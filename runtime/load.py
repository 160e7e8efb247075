"""Read an artifact, and prove that it is whole before anything of it is executed."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import msgspec

from accelerator_sim.plan import Plan
from accelerator_sim.plan_io import MAX_PLAN_BYTES, parse_plan
from accelerator_sim.report import REPORT_SCHEMA, Report
from accelerator_sim.targets import MAX_FILE_BYTES, parse_target
from accelerator_sim.validate import validate_plan
from graph_ir.errors import InputError
from graph_ir.text import reason_of
from runtime.folder import check_digest, check_listing, list_folder, read_listed, read_plain
from runtime.generation.record import TOKENIZER_FILE
from runtime.generation.verify import check_decoder
from runtime.manifest import (
    MANIFEST_FILE,
    MAX_MANIFEST_BYTES,
    TARGET_FILE,
    Manifest,
    graph_files,
    parse_manifest,
)
from runtime.verify_graph import check_plan_matches_graph, read_graph

_MAX_REPORT_BYTES = 256 << 20
_ATTEMPTS = 3

Identity = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Artifact:
    """An artifact on disk.

    Attributes:
        path: its folder.
        manifest: what it holds.
        plans: by name of the graph.
        reports: by name of the graph.
        identity: device, inode and time of the folder, which change when it is replaced.
    """

    path: Path
    manifest: Manifest
    plans: Mapping[str, Plan]
    reports: Mapping[str, Report]
    identity: Identity

    def model_path(self, graph: str) -> Path:
        """The ONNX file of a graph.

        Raises:
            InputError: the artifact has no such graph.
        """
        if graph not in self.manifest.graphs:
            hint = "" if self.manifest.decoder is msgspec.UNSET else "; egrl generate gives text"
            raise InputError(
                f"{self.path}: graph {graph!r}: expected one of "
                f"{', '.join(self.manifest.graphs)}{hint}"
            )
        return self.path / graph_files(graph)[0]

    def check_unchanged(self) -> None:
        """Raise where the folder was replaced since it was loaded.

        Raises:
            InputError: it was.
        """
        if _identity(self.path) != self.identity:
            raise InputError(f"{self.path}: was replaced while it was being read; try again")


def load_artifact(path: Path) -> Artifact:
    """Read manifest, plans and reports; sizes of all files are checked, digests of these.

    Raises:
        InputError: the first thing that is wrong.
    """
    return _consistently(Path(path), _load)


def verify_artifact(path: Path) -> Artifact:
    """Everything that can be known without executing: digests, schemas, graphs, plans.

    Raises:
        InputError: the first thing that is wrong.
    """
    return _consistently(Path(path), _verify)


def _consistently(path: Path, read: Callable[[Path, Identity], Artifact]) -> Artifact:
    """Read again where a writer exchanged the folder under us."""
    folder = path.absolute()
    for _ in range(_ATTEMPTS):
        before = _identity(folder)
        try:
            artifact = read(folder, before)
        except InputError:
            # What is wrong with half of an old and half of a new artifact is wrong with neither.
            if _identity(folder) == before:
                raise
            continue
        if _identity(folder) == before:
            return artifact
    raise InputError(f"{path}: was replaced again and again while it was being read")


def _identity(folder: Path) -> Identity:
    try:
        status = os.stat(folder)
    except (OSError, ValueError) as error:
        raise InputError(f"{folder}: cannot read the artifact: {reason_of(error)}") from error
    return status.st_dev, status.st_ino, status.st_mtime_ns


def _load(folder: Path, identity: Identity) -> Artifact:
    if MANIFEST_FILE not in list_folder(folder):
        raise InputError(f"{folder}: not an artifact: it has no {MANIFEST_FILE}")
    path = folder / MANIFEST_FILE
    manifest = parse_manifest(read_plain(path, MAX_MANIFEST_BYTES), str(path))
    check_listing(folder, manifest.files, MANIFEST_FILE)
    plans: dict[str, Plan] = {}
    reports: dict[str, Report] = {}
    for graph in manifest.graphs:
        _, plan_name, report_name = graph_files(graph)
        data = read_listed(folder, plan_name, manifest.files[plan_name], MAX_PLAN_BYTES)
        plans[graph] = parse_plan(data, str(folder / plan_name))
        data = read_listed(folder, report_name, manifest.files[report_name], _MAX_REPORT_BYTES)
        reports[graph] = _parse_report(data, str(folder / report_name))
    return Artifact(folder, manifest, MappingProxyType(plans), MappingProxyType(reports), identity)


def _verify(folder: Path, identity: Identity) -> Artifact:
    artifact = _load(folder, identity)
    for name, record in artifact.manifest.files.items():
        check_digest(folder, name, record)
    target = folder / TARGET_FILE
    try:
        parse_target(read_plain(target, MAX_FILE_BYTES).decode(), str(target))
    except UnicodeDecodeError as error:
        raise InputError(f"{target}: not a text: {error}") from error
    for graph in artifact.manifest.graphs:
        where = str(folder / graph_files(graph)[1])
        try:
            validate_plan(artifact.plans[graph])
        except InputError as error:
            raise InputError(f"{where}: {error}") from error
        check_plan_matches_graph(
            artifact.plans[graph], read_graph(artifact.model_path(graph)), where
        )
    decoder = artifact.manifest.decoder
    if decoder is not msgspec.UNSET:
        check_decoder(folder, decoder, TOKENIZER_FILE in artifact.manifest.files)
    return artifact


class _SchemaOnly(msgspec.Struct, frozen=True):
    schema: int


def _parse_report(data: bytes, where: str) -> Report:
    try:
        schema = msgspec.json.decode(data, type=_SchemaOnly).schema
        if schema != REPORT_SCHEMA:
            raise InputError(f"{where}: unknown schema: expected {REPORT_SCHEMA}, got {schema}")
        return msgspec.json.decode(data, type=Report)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"{where}: not a report: {reason_of(error)}") from error
